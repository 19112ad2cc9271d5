"""The networks that enhance: the one that is named, or those of the zoo that are here, one for each scale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from cface_basicsr.enhancing.evidence import ImpostorTable
from cface_basicsr.enhancing.request import network_files
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.files.recognizer_file import led_by_dlib
from cface_basicsr.ops.template import Template
from cface_basicsr.zoo.card import Card
from cface_basicsr.zoo.catalogue import card_next_to
from cface_basicsr.zoo.open import open_network, recorded_leaders, trained_template

UNKNOWN = ("its file does not say how the faces were cropped that it was trained on, so faces of photographs are "
           "aligned to ArcFace's template.")
"""What has to be said of a network without a template that is given a face of a photograph."""


@dataclass(frozen=True)
class FaceEnhancer:
    """A network and what is known of it.

    Attributes:
        name: of the zoo, or of its file.
        network: (B, 3, 128 / scale, 128 / scale) in [0, 1] -> (B, 3, 128, 128).
        scale: 2, 4 or 8.
        tables: height of faces -> what similarities mean, from its card.
        path: of its file; None: it came from none.
        card: next to the file; None without one.
        template: how the faces were cropped that it was trained on, by its card or its file; None: neither says it.
        about: what its card says it is good for, and its licence; '' without one.
    """

    name: str
    network: nn.Module
    scale: int
    tables: Mapping[float, ImpostorTable]
    path: Path | None
    card: Card | None
    template: Template | None = None

    @property
    def about(self) -> str:
        return f'{self.card.about} Licence: {self.card.licence}' if self.card else ''

    @cached_property
    def led(self) -> bool:
        """Whether dlib's recognizer, the judge of faces in photographs, led a loss of it, by its card or its file."""
        return bool(self.card and 'dlib' in self.card.recognizer.lower()
                    or led_by_dlib(recorded_leaders(self.network, self.path)))


def open_enhancers(weights: str | Path) -> dict[int, FaceEnhancer]:
    """Scale -> network.

    Args:
        weights: see `enhancing.request.network_files`.

    Raises:
        UserError: as there; or a file or its card is damaged.
    """
    opened = [_open(name, path) for name, path in network_files(weights).items()]
    return {each.scale: each for each in opened}


def _open(name: str, path: Path) -> FaceEnhancer:
    network = open_network(path)
    return enhancer_of(network, scale_of(network, f"weights file '{name}'"), path, name)


def enhancer_of(network: nn.Module, scale: int, path: Path | None, name: str) -> FaceEnhancer:
    """A network and what is known of it, by its file.

    Raises:
        UserError: the card next to the file is damaged, says something else than the file, or is another network's.
    """
    card = card_next_to(path) if path else None
    return FaceEnhancer(name, network, scale, card_tables(card) if card else {}, path, card,
                        trained_template(network, path))


def templates_of(enhancers: Mapping[int, FaceEnhancer], told: Template | None = None) -> dict[int, Template]:
    """Scale -> how the faces were cropped that a network was trained on, where that is known.

    Args:
        told: what a person says of networks whose files do not say it.

    Raises:
        UserError: the file of one says something else.
    """
    for each in enhancers.values():
        if told and each.template not in (None, told):
            raise UserError(f"--template {told}: '{each.name}' was trained on faces of '{each.template}', as its card "
                            'or its file says. Leave --template out.')
    found = {scale: each.template or told for scale, each in enhancers.items()}
    return {scale: template for scale, template in found.items() if template}


def check_not_led(enhancers: Iterable[FaceEnhancer]) -> None:
    """Check that dlib's recognizer, the judge of faces in photographs, led no loss of these networks.

    Raises:
        UserError: it led one, by the network's file or its card.
    """
    led = [each.name for each in enhancers if each.led]
    if led:
        raise UserError(f"dlib's recognizer led a loss of '{led[0]}', so it is not a judge of its faces. Leave out "
                        '--reference and --evidence, or take another network.')


def card_tables(card: Card) -> Mapping[float, ImpostorTable]:
    """Height -> table, of what `enhancing.impostors.card_evidence` has put into a card; {} without.

    Raises:
        UserError: a table is not one.
    """
    evidence = card.evidence or {}
    if evidence.get('judge') != 'dlib':
        return {}
    try:
        tables = {float(height): [(float(score), int(count)) for score, count in rows]
                  for height, rows in evidence['impostor_scores'].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"card '{card.name}': evidence.impostor_scores: expected heights with rows [score, count].") \
            from error
    for height, rows in tables.items():
        ordered = sorted(rows, key=lambda row: (-row[0], row[1]))
        if not rows or list(rows) != ordered or [count for _, count in rows] != sorted({count for _, count in rows}):
            raise UserError(f"card '{card.name}': evidence.impostor_scores of {height:g}: expected falling scores with "
                            'growing counts.')
    return tables
