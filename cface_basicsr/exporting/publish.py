"""A trained network into a folder of the zoo: its weights as safetensors, and its card."""

from collections.abc import Sequence
from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.exporting.safetensors import write_network
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.network_file import (
    TEMPLATE,
    build_network_from_file,
    leaders_in,
    read_network_file,
    template_in,
)
from cface_basicsr.files.recognizer_file import led_by_dlib
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.options.sections import open_section
from cface_basicsr.zoo.card import CARD, Card, Draft, agreed_template, write_card
from cface_basicsr.zoo.catalogue import ZooNetwork


def publish_network(source: str | Path, name: str, draft: Draft, folder: str | Path) -> ZooNetwork:
    """Write NAME.safetensors and NAME.yml.

    Args:
        source: network file (.pth or .safetensors).
        name: lower-case letters, digits, - and _.
        draft: what a person says of the network; scale, size, hash and precision are found out.
        folder: existing.

    Raises:
        UserError: the file does not hold a super-resolution network, the name is unfit, or is taken in the folder; or
            the draft and the file differ in what led its losses, or in how its faces were cropped.
    """
    folder = Path(folder)
    taken = [path for path in (folder / f'{name}{CARD}', folder / f'{name}{SAFETENSORS}') if path.exists()]
    if taken:
        raise UserError(f"'{taken[0]}' exists. Give another name, or remove it.")
    network, content = build_network_from_file(source), read_network_file(source)
    _check_led(draft, leaders_in(content, source))
    content[TEMPLATE] = agreed_template(draft, template_in(content, source))
    scale = scale_of(network, f"weights file '{source}'")
    known = draft.model_dump() | {
        'template': content[TEMPLATE], 'name': name, 'scale': scale, 'network': content['network'],
        'weights': 'float32', 'difference': 0.0, 'bytes': 1, 'sha256': '0' * 64}
    open_section(Card, known)  # before anything is written
    path = folder / f'{name}{SAFETENSORS}'
    written = write_network(path, network, scale, content)
    known |= written._asdict() | {'bytes': path.stat().st_size, 'sha256': file_hash(path, 64)}
    card = open_section(Card, known)
    write_card(folder / f'{name}{CARD}', card)
    return ZooNetwork(card, folder)


def _check_led(draft: Draft, led: Sequence[str]) -> None:
    if led and draft.recognizer.strip().lower() == 'none':
        raise UserError(f"card: 'recognizer: none', but by its file {len(led)} recognizers led a loss. Name them.")
    if draft.evidence and draft.evidence.get('judge') == 'dlib' and (
            led_by_dlib(led) or 'dlib' in draft.recognizer.lower()):
        raise UserError("card: dlib's recognizer led a loss of this network, so it is not a judge of its faces. "
                        'Leave out evidence.')
