"""A small generator, a draft of a card, and a folder of a zoo with both."""

from pathlib import Path
from typing import Any

import torch

from cface_basicsr.exporting.publish import publish_network
from cface_basicsr.files.network_file import build_network, save_atomically
from cface_basicsr.zoo.card import Draft
from cface_basicsr.zoo.catalogue import ZooNetwork

DRAFT: dict[str, Any] = {
    'about': 'For tests; it knows no face.', 'licence': 'Apache-2.0', 'data': 'none', 'recognizer': 'sphereface20',
    'identity': [{'what': 'accuracy', 'value': 50.0, 'unit': '%', 'command': 'cface evaluate pairs faces'}],
    'pixels': [{'what': 'PSNR', 'value': 20, 'unit': 'dB', 'command': 'cface evaluate pairs faces'}]}


def write_generator(path: Path, scale: int = 8, seed: int = 0, **more: Any) -> Path:
    """The network file of a small SRResNet with random weights."""
    torch.manual_seed(seed)
    options = {'type': 'SRResNet', 'scale': scale, 'num_feat': 4, 'num_block': 1}
    save_atomically({'params': build_network(options).state_dict(), 'network': options, **more}, path)
    return path


def write_zoo(folder: Path, name: str = 'tiny-x8', scale: int = 8, seed: int = 0, **draft: Any) -> ZooNetwork:
    """A network with its card in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    source = write_generator(folder / 'net_g.pth', scale, seed)
    made = publish_network(source, name, Draft(**DRAFT | draft), folder)
    source.unlink()
    return made
