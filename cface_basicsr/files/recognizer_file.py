"""The files of a recognizer: one hash of them all, and a settings file for weights that do not describe their input.

    resnet100.onnx
    resnet100.input.yml     channels: bgr
                           mean: 0
                           std: 255
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.files.yaml_file import read_yaml

SHIPPED = {'dlib': Path(__file__).parents[1] / 'recognizers' / 'dlib_resnet_v1.pth'}
"""Name -> network file of each recognizer that comes with the plugin."""


def named_recognizer(text: str | Path) -> Path:
    """The path of a recognizer's file: that of one that comes with the plugin by its name, else the text itself.

    >>> named_recognizer('dlib').name, named_recognizer('net_r.pth').name
    ('dlib_resnet_v1.pth', 'net_r.pth')
    """
    return SHIPPED.get(str(text), Path(text))


def input_file(file: str | Path) -> Path:
    """The settings file of a recognizer: NAME.onnx -> NAME.input.yml."""
    return Path(file).with_suffix('.input.yml')


def read_input_spec(file: str | Path, valid: Iterable[str]) -> dict[str, Any]:
    """What the settings file of a recognizer says; empty if there is none.

    Args:
        file: of the recognizer.
        valid: the keys that this kind of recognizer accepts.

    Raises:
        UserError: it is not valid YAML, is not a mapping, or has an unknown key.
    """
    path, valid = input_file(file), tuple(valid)
    if not path.is_file():
        return {}
    settings = read_yaml(path) or {}
    if not isinstance(settings, dict):
        raise UserError(f"'{path}': expected lines like 'channels: bgr', got a {type(settings).__name__}.")
    unknown = [key for key in settings if key not in valid]
    if unknown:
        raise UserError(f"'{path}': unknown key '{unknown[0]}'; {nearest(str(unknown[0]), valid)}")
    return settings


def recognizer_files(file: str | Path) -> list[Path]:
    """The file itself; its settings file, if there is one; the files to which an ONNX file moves its weights.

    Those last ones are listed whether they are there or not.
    """
    file = named_recognizer(file)
    files = [file, *([input_file(file)] if input_file(file).is_file() else [])]
    return files + (external_weights(file) if file.suffix == '.onnx' else [])


def external_weights(file: Path) -> list[Path]:
    """The files next to an ONNX file that hold its weights, as exporters write them for large networks; sorted."""
    import onnx
    from onnx.external_data_helper import uses_external_data
    try:
        graph = onnx.load(str(file), load_external_data=False).graph
    except Exception as error:  # protobuf's implementations raise different ones
        raise UserError(f"'{file}' cannot be read as an ONNX network ({type(error).__name__}): it is cut off or not "
                        'an ONNX file. Copy it again.') from error
    names = {entry.value for weight in graph.initializer if uses_external_data(weight)
             for entry in weight.external_data if entry.key == 'location'}
    for name in names:
        if Path(name).is_absolute() or '..' in Path(name).parts or not name.isprintable():
            raise UserError(f"'{file}' keeps its weights in '{name}', expected a file in the same folder.")
    return [file.parent / name for name in sorted(names)]


def recognizer_hash(file: str | Path, digits: int = 12) -> str:
    """The file's hash if there is no other file, else a hash of the hashes of all files."""
    return _hash_of_files(recognizer_files(file))[:digits]


def _hash_of_files(files: list[Path]) -> str:
    hashes = [file_hash(each, 64) for each in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(' '.join(hashes).encode()).hexdigest()


def recognizer_marks(file: str | Path) -> set[str]:
    """What tells a recognizer by its weights: their SHA-256, and those of the recognizers that it was trained from.

    Two of them share a mark if they are one, under whatever name and however fed, or if one was fine-tuned from the
    other, or both from a third.
    """
    from cface_basicsr.files.network_file import STARTED_FROM, read_network_file  # they need torch
    path = named_recognizer(file)
    own = _hash_of_files([each for each in recognizer_files(path) if each != input_file(path)])
    before = read_network_file(path).get(STARTED_FROM) if path.suffix in ('.pth', SAFETENSORS) else None
    return {own, *(before or ())}


def led_by_dlib(leaders: Iterable[str]) -> bool:
    """Whether dlib's recognizer is one of those that led a loss of a network, by their marks."""
    return not recognizer_marks('dlib').isdisjoint(leaders)
