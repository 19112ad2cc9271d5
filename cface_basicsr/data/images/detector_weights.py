"""The face detector's weights: from a folder of one's own, or fetched into a named one and checked.

Nothing is fetched into any other place. Without a folder it is torch hub's, where torch keeps what it downloads
(`torch.hub.get_dir()`/checkpoints, below $TORCH_HOME).
"""

from pathlib import Path

import torch

from cface_basicsr.data.images.align import find_detector, has_detector
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import file_hash

WEIGHTS_FILE = 'detection_mobilenet0.25_Final.pth'
URL = f'https://github.com/xinntao/facexlib/releases/download/v0.1.0/{WEIGHTS_FILE}'
"""The address that facexlib itself has."""
SHA256 = '38ec7bb3c9cbfe2f40edabc05fab970a6d648747cbc534092be85d5eb9b37ed0'


def hub_folder() -> Path:
    """Where torch hub keeps weights."""
    return Path(torch.hub.get_dir(), 'checkpoints')


def detector_folder(folder: Path | None, *, url: str = URL, sha256: str = SHA256) -> Path:
    """A folder that holds a face detector, after fetching RetinaFace's MobileNet-0.25 into it where it has none.

    Args:
        folder: an existing one; None: torch hub's.
        url: where from; http(s) or file.
        sha256: of the file.

    Raises:
        UserError: the folder is missing, the file cannot be fetched, or what came has another hash. Then nothing is
            left there.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(f"--weights: folder '{folder}' is missing. Name one that holds {WEIGHTS_FILE},\n"
                        'or make an empty one for it to be fetched into.')
    place = folder or hub_folder()
    if has_detector(place):
        _check_known(find_detector(place), sha256)
    else:
        _fetch(place / WEIGHTS_FILE, url, sha256)
    return place


def _fetch(file: Path, url: str, sha256: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256, progress=False)  # aside, then renamed
    except Exception as error:  # no network, a wrong hash, a full disk
        reason = f'{type(error).__name__}: {str(error)[:150]}'
        raise UserError(f'the face detector cannot be fetched from {url}\n({reason}).\n'
                        f"Put {WEIGHTS_FILE} (SHA-256 {sha256}) into '{file.parent}'.") from error


def _check_known(file: Path, sha256: str) -> None:
    """A cut or exchanged file is refused here, not deep in torch; other detectors' hashes are not known."""
    if file.name == WEIGHTS_FILE and (came := file_hash(file, 64)) != sha256:
        raise UserError(f"'{file}' is damaged or another file: expected SHA-256 {sha256},\ncame {came}.\n"
                        'Delete it; it is fetched anew.')
