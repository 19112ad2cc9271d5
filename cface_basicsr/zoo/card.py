"""The card of a network: what it is, what it was trained on, who may use it, how good it is, and by which commands."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text
from cface_basicsr.files.yaml_file import parse_yaml, read_yaml, to_yaml
from cface_basicsr.ops.template import Template
from cface_basicsr.options.sections import Section, open_section

CARD = '.yml'
NOT_STATED = 'not stated'
StoredAs = Literal['float16', 'float32']
"""Precision of stored weights."""
ZooName = Annotated[str, StringConstraints(pattern=r'^[a-z0-9][a-z0-9_-]{0,62}$')]


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError('expected a few words, got none')
    return text


Said = Annotated[str, AfterValidator(_said)]
"""A text that may not be empty."""


class CardNumber(Section):
    """A number that was measured, and the command that measures it again."""

    what: Said
    """What was measured, on which faces: accuracy at x8, dlib, 41 held-out people."""
    value: float
    """The number."""
    unit: str = ''
    """Its unit: %, dB."""
    command: Said
    """The command that prints it."""


class Draft(Section):
    """What a person says of a network; `exporting.publish` finds the rest out."""

    about: Said
    """One sentence: what it is good for, and what it does not know."""
    licence: Said
    """Of the weights, with their limits: Apache-2.0, non-commercial research only."""
    data: Said
    """What it was trained on."""
    template: Template | None = None
    """How those faces were cropped: arcface, sphereface, dlib or center. Faces of photographs are aligned to that."""
    recognizer: Said
    """The recognizer that led its loss, or none."""
    recognizer_licence: Said = NOT_STATED
    """The licence of that recognizer, or not stated."""
    identity: list[CardNumber]
    """How well the person is kept."""
    pixels: list[CardNumber]
    """PSNR and SSIM."""
    evidence: dict[str, Any] | None = None
    """What similarities of its faces mean: measured on pairs of different people."""
    url: str | None = None
    """Where its files are, if they do not come with the package."""


class Card(Draft):
    """The card of a network, whole."""

    name: ZooName
    """Of its files: NAME.safetensors and NAME.yml."""
    scale: Literal[2, 4, 8]
    """How much it enlarges."""
    network: dict[str, Any]
    """Type and arguments, as in an option file."""
    weights: StoredAs
    """How its weights are stored."""
    difference: float
    """Largest difference in [0, 1] that storing them so makes on synthetic faces."""
    bytes: int = Field(gt=0)
    """Size of the .safetensors file."""
    sha256: Annotated[str, StringConstraints(pattern='^[0-9a-f]{64}$')]
    """Of the .safetensors file."""


def read_draft(path: str | Path) -> Draft:
    """The draft of a card.

    Raises:
        UserError: it is missing, is not YAML, or says too little, or something unknown.
    """
    return _opened(Draft, read_yaml(path, 'card'), path)


def read_card(path: str | Path) -> Card:
    """The card in a file that is called after its network; see `read_draft`."""
    return _own(read_yaml(path, 'card'), path)


def parse_card(text: str, where: str) -> Card:
    """The card that a text holds.

    Args:
        where: the path or address that it comes from.

    Raises:
        UserError: as `read_draft`, or the network has another name than the file.
    """
    return _own(parse_yaml(text, where), where)


def _own(values: Any, where: str | Path) -> Card:
    card = _opened(Card, values, where)
    if card.name != Path(where).stem:
        raise UserError(f"card '{where}' says that its network is called '{card.name}'. Name both files after the "
                        'network.')
    return card


def _opened(kind: type[Section], values: Any, where: str | Path) -> Any:
    try:
        return open_section(kind, values)
    except UserError as error:
        raise UserError(f"card '{where}': {error}") from error


def agreed_template(draft: Draft, recorded: Template | None) -> Template | None:
    """How the faces were cropped that a network was trained on, by its draft or its file.

    Raises:
        UserError: they differ.
    """
    if draft.template and recorded and draft.template != recorded:
        raise UserError(f"card: 'template: {draft.template}', but by its file the network was trained on faces of "
                        f"'{recorded}'. Leave template out.")
    return draft.template or recorded


def write_card(path: str | Path, card: Card) -> None:
    """Write a card as YAML, aside, then rename."""
    write_text(path, to_yaml(card.model_dump(exclude_none=True)))
