"""A folder for a model hub: weights, options and a card whose numbers have their commands."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.exporting.safetensors import write_network
from cface_basicsr.files.atomic import publish, unfinished, write_json, write_text
from cface_basicsr.files.network_file import TEMPLATE
from cface_basicsr.files.yaml_file import to_yaml
from cface_basicsr.zoo.card import CardNumber, Draft, agreed_template

_KNOWN_LICENCES = ('apache-2.0', 'mit', 'bsd-3-clause', 'cc0-1.0', 'cc-by-4.0', 'cc-by-nc-4.0')
"""Names that hubs know; any other one is 'other', with its own name next to it."""


def write_hub(folder: str | Path, network: nn.Module, scale: int, entries: dict[str, Any], card: Draft,
              numbers: Sequence[CardNumber] = (), half: bool = False, faces: Tensor | None = None) -> float:
    """Write model.safetensors, config.json and README.md into a new folder, which appears whole.

    Args:
        network: on the CPU, in evaluation mode.
        entries: of its file, 'network' among them.
        card: what a person says of it.
        numbers: of a results file, in addition to the card's.
        half: weights in half precision.
        faces: on which both are compared, see `exporting.compare.largest_difference`.

    Returns:
        the largest difference of a pixel in [0, 1] that the stored weights make.

    Raises:
        UserError: the folder exists, or the card and the file differ in how its faces were cropped; see also
            `write_network`.
    """
    folder = Path(folder)
    entries = entries | {TEMPLATE: agreed_template(card, entries.get(TEMPLATE))}
    if folder.exists():
        raise UserError(f"'{folder}' exists. Give another folder, or remove it.")
    aside = unfinished(folder)
    shutil.rmtree(aside, ignore_errors=True)  # what a kill has left
    aside.mkdir(parents=True)
    try:
        written = write_network(aside / 'model.safetensors', network, scale, entries, half, faces)
        write_json(aside / 'config.json', {'library': 'cface-basicsr', 'scale': scale, 'network': entries['network'],
                                           'template': entries[TEMPLATE], 'weights': written.weights})
        write_text(aside / 'README.md', _readme(folder.name, scale, entries['network'], card, numbers))
        publish(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return written.difference


def _readme(name: str, scale: int, options: dict[str, Any], card: Draft, numbers: Sequence[CardNumber]) -> str:
    licence = card.licence.lower()
    front = {'license': licence} if licence in _KNOWN_LICENCES else {'license': 'other', 'license_name': card.licence}
    front |= {'library_name': 'cface-basicsr', 'pipeline_tag': 'image-to-image',
              'tags': ['super-resolution', 'face-super-resolution', f'x{scale}']}
    templates = Environment(loader=PackageLoader(__package__, ''), undefined=StrictUndefined, trim_blocks=True,
                            keep_trailing_newline=True)
    return templates.get_template('hub.md.j2').render(
        front=to_yaml(front), name=name, scale=scale, options=options, card=card,
        numbers=[*card.identity, *card.pixels, *numbers])
