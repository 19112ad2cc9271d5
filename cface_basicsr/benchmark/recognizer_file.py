"""A recognizer from a file, and whether it was made for the faces of a folder."""

import json
from pathlib import Path

from torch import nn

from cface_basicsr.errors import UserError


def load_recognizer(path: Path) -> nn.Module:
    """A recognizer in eval mode on the CPU: from a .pth file that says which network it holds, or an ONNX file.

    Raises:
        UserError: no such file, or the network in it is no recognizer.
    """
    if not path.is_file():
        raise UserError(f"recognizer '{path}' is missing. Expected a network file of stage 0 (.pth) or an ONNX file.")
    if path.suffix == '.onnx':
        from cface_basicsr.archs.onnx_recognizer_arch import OnnxRecognizer
        return OnnxRecognizer(file=str(path)).eval()
    from cface_basicsr.checkpoints import build_network_from_file
    network = build_network_from_file(path)
    if not hasattr(network, 'eats'):
        raise UserError(f"'{path}' holds a {type(network).__name__}, which is no recognizer.\n"
                        'Expected CNN_R: net_r_*.pth of stage 0 or 3.')
    return network


def crop_note(folder: Path, name: str, network: nn.Module) -> str | None:
    """One line when a folder's faces were cut in another way than the recognizer learnt them; features are poor then.

    Args:
        folder: what `cface prepare` made; without a manifest there is nothing to compare.
        name: how the line calls the recognizer.
    """
    manifest = folder / 'manifest.json'
    settings = json.loads(manifest.read_text(encoding='utf-8')).get('settings', {}) if manifest.is_file() else {}
    crop, template = settings.get('crop'), network.eats.template
    # Both landmark templates give the same square (data/align.py), so only aligned or not matters.
    if crop not in ('align', 'center') or (crop == 'align') == (template != 'center'):
        return None
    return f"the faces were cut with --crop {crop}, {name} learnt '{template}' crops: its features will be poor."
