"""Of which files a recognizer consists, and one hash of them all: what tells its features from another's."""

import hashlib
from pathlib import Path

from cface_basicsr.files.eats_file import eats_file
from cface_basicsr.files.network_file import file_hash


def recognizer_files(file: str | Path) -> list[Path]:
    """The file itself; the text beside it; the weights that an ONNX file keeps in files of their own.

    Those weights are listed whether they are there or not.
    """
    file = Path(file)
    files = [file, *([eats_file(file)] if eats_file(file).is_file() else [])]
    return files + (external_weights(file) if file.suffix == '.onnx' else [])


def external_weights(file: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights, as exporters write them for large networks; sorted."""
    import onnx
    from onnx.external_data_helper import uses_external_data
    graph = onnx.load(str(file), load_external_data=False).graph
    names = {entry.value for weight in graph.initializer if uses_external_data(weight)
             for entry in weight.external_data if entry.key == 'location'}
    return [file.parent / name for name in sorted(names)]


def recognizer_hash(file: str | Path, digits: int = 12) -> str:
    """The file's hash where it stands alone, else one of the hashes of all its files."""
    files = recognizer_files(file)
    if len(files) == 1:
        return file_hash(file, digits)
    return hashlib.sha256(' '.join(file_hash(each, 64) for each in files).encode()).hexdigest()[:digits]
