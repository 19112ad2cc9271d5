"""The face detector's weights, found in a folder or downloaded into it, and checked.

Nothing is downloaded anywhere else. The default folder is the one where torch hub keeps its downloads
(`torch.hub.get_dir()`/checkpoints, below $TORCH_HOME).
"""

from pathlib import Path

import torch

from cface_basicsr.data.images.align import find_detector, has_detector
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import file_hash
from cface_basicsr.files.torch_file import read_torch_file

WEIGHTS_FILE = 'detection_mobilenet0.25_Final.pth'
URL = f'https://github.com/xinntao/facexlib/releases/download/v0.1.0/{WEIGHTS_FILE}'
"""The same address that facexlib uses."""
SHA256 = '38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0'


def hub_folder() -> Path:
    """The folder where torch hub keeps weights."""
    return Path(torch.hub.get_dir(), 'checkpoints')


def detector_folder(folder: Path | None, *, url: str = URL, sha256: str = SHA256) -> Path:
    """A folder that holds a face detector; RetinaFace's MobileNet-0.25 is downloaded into it if it has none.

    Args:
        folder: an existing folder; None: torch hub's.
        url: where to download from; http(s) or file.
        sha256: of the file, as hexadecimal digits.

    Raises:
        UserError: the folder is missing, the download fails, or the file has another hash. A failed download leaves
            nothing behind.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(f"--weights: folder '{folder}' is missing. Make it; {WEIGHTS_FILE} is downloaded into it.")
    folder = folder or hub_folder()
    if has_detector(folder):
        _check_hash(find_detector(folder), sha256)
    else:
        _download(folder / WEIGHTS_FILE, url, sha256)
    return folder


def _download(file: Path, url: str, sha256: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256, progress=False)  # renamed when complete
    except Exception as error:  # no network, a wrong hash, a full disk
        reason = f'{type(error).__name__}: {str(error)[:150]}'
        raise UserError(f'the face detector cannot be downloaded from {url}\n({reason}).\n'
                        f"Put {WEIGHTS_FILE} (SHA-256 {sha256}) into '{file.parent}'.") from error


def _check_hash(file: Path, sha256: str) -> None:
    """Refuse a truncated or replaced file here, not deep in torch; the hashes of other detectors are not known."""
    if file.name != WEIGHTS_FILE:
        read_torch_file(file, '', 'face detector')
    elif (found := file_hash(file, 64)) != sha256:
        raise UserError(f"'{file}' is damaged or another file: expected SHA-256 {sha256},\ngot {found}.\n"
                        'Delete it, and it will be downloaded again.')
