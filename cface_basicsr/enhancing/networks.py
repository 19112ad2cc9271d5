"""The networks that enhance: the one that is named, or those of the zoo that are here, one for each scale."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from cface_basicsr.enhancing.evidence import ImpostorTable
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.files.network_file import read_network_file
from cface_basicsr.files.recognizer_file import led_by_dlib
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.zoo.card import CARD, Card, read_card
from cface_basicsr.zoo.catalogue import SHIPPED_NETWORKS, check_hash, network_path, zoo
from cface_basicsr.zoo.open import open_network

AUTO = 'auto'


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
        about: what its card says it is good for, and its licence; '' without one.
    """

    name: str
    network: nn.Module
    scale: int
    tables: Mapping[float, ImpostorTable]
    path: Path | None
    card: Card | None

    @property
    def about(self) -> str:
        return f'{self.card.about} Licence: {self.card.licence}' if self.card else ''

    @cached_property
    def led(self) -> bool:
        """Whether dlib's recognizer, the judge of faces in photographs, led a loss of it, by its card or its file."""
        return bool(self.card and 'dlib' in self.card.recognizer.lower()
                    or self.path and self.path.suffix != '.onnx' and led_by_dlib(read_network_file(self.path)))


def open_enhancers(weights: str | Path) -> dict[int, FaceEnhancer]:
    """Scale -> network.

    Args:
        weights: a file or a name, see `zoo.open.open_network`; or 'auto': of each scale the network of the zoo that is
            here, one that a user has added before one of the package, then by name.

    Raises:
        UserError: the network is unknown, or none is installed; a file or its card is damaged.
    """
    if str(weights) != AUTO:
        return {(opened := _open(str(weights), network_path(weights))).scale: opened}
    here = sorted((each for each in zoo().values() if each.here),
                  key=lambda each: (each.folder == SHIPPED_NETWORKS, each.card.name))
    chosen = {each.card.scale: each for each in reversed(here)}
    if not chosen:
        raise UserError('a network is missing: none is installed. Get one: cface models get NAME --from DIR; or name '
                        'its file: --weights net_g_latest.pth.')
    return {scale: _open(each.card.name, each.verified_path()) for scale, each in sorted(chosen.items())}


def _open(name: str, path: Path) -> FaceEnhancer:
    network = open_network(path)
    return enhancer_of(network, scale_of(network, f"weights file '{name}'"), path, name)


def enhancer_of(network: nn.Module, scale: int, path: Path | None, name: str) -> FaceEnhancer:
    """A network and what is known of it, by its file.

    Raises:
        UserError: the card next to the file is damaged, or another network's.
    """
    card = _card_beside(path) if path else None
    return FaceEnhancer(name, network, scale, card_tables(card) if card else {}, path, card)


def check_not_led(enhancers: Iterable[FaceEnhancer]) -> None:
    """Check that dlib's recognizer, the judge of faces in photographs, led no loss of these networks.

    Raises:
        UserError: it led one, by the network's file or its card.
    """
    led = [each.name for each in enhancers if each.led]
    if led:
        raise UserError(f"dlib's recognizer led a loss of '{led[0]}', so it is not a judge of its faces. Leave out "
                        '--reference and --evidence, or take another network.')


def _card_beside(path: Path) -> Card | None:
    card_file = path.with_suffix(CARD)
    if path.suffix != SAFETENSORS or not card_file.is_file():
        return None
    card = read_card(card_file)
    check_hash(path, card, 'Its card would tell of another network.')
    return card


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
