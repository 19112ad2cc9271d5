"""The detector's weights: found, downloaded into the folder that was named, checked by their hash."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cface_basicsr.data.images.detector_weights import SHA256, URL, WEIGHTS_FILE, detector_folder
from cface_basicsr.errors import UserError

CONTENT = b'weights of a detector' * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()
SHARED = Path(__file__).parents[4] / 'shared' / 'weights' / WEIGHTS_FILE


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A local server that has the file."""
    (tmp_path / 'server').mkdir()
    (tmp_path / 'server' / WEIGHTS_FILE).write_bytes(CONTENT)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / 'server'))

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/{WEIGHTS_FILE}'
        server.shutdown()


def test_the_file_is_downloaded_once_into_the_folder_that_was_named(url: str, tmp_path: Path) -> None:
    folder = tmp_path / 'mine'
    folder.mkdir()
    assert detector_folder(folder, url=url, sha256=HASH) == folder
    assert (folder / WEIGHTS_FILE).read_bytes() == CONTENT and len(list(folder.iterdir())) == 1
    assert detector_folder(folder, url='http://127.0.0.1:1/no', sha256=HASH) == folder


def test_the_default_folder_is_torch_hubs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    assert detector_folder(None, url=url, sha256=HASH) == tmp_path / 'torch' / 'hub' / 'checkpoints'
    assert (tmp_path / 'torch' / 'hub' / 'checkpoints' / WEIGHTS_FILE).read_bytes() == CONTENT


@pytest.mark.parametrize('there', [True, False])
def test_a_wrong_hash_or_a_missing_server_leaves_nothing_behind(url: str, tmp_path: Path, there: bool) -> None:
    (tmp_path / 'mine').mkdir()
    advice = rf"Put {WEIGHTS_FILE} \(SHA-256 {SHA256}\) into '{tmp_path}/mine'"
    with pytest.raises(UserError, match=rf'cannot be downloaded from http(.|\n)*{advice}'):
        detector_folder(tmp_path / 'mine', url=url if there else 'http://127.0.0.1:1/no')
    assert not list((tmp_path / 'mine').iterdir())


def test_a_damaged_file_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS_FILE).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match='is damaged or another file'):
        detector_folder(tmp_path, sha256=HASH)
    with pytest.raises(UserError, match='is missing. Make it; '):
        detector_folder(tmp_path / 'no')


@pytest.mark.skipif(not SHARED.is_file(), reason='needs ../shared with the detector')
def test_a_detector_whose_hash_is_not_known_is_read_before_any_photograph(tmp_path: Path) -> None:
    (tmp_path / 'detection_Resnet50_Final.pth').write_bytes(b'<!DOCTYPE html>')
    with pytest.raises(UserError, match="^face detector '.*Resnet50_Final.pth' cannot be read"):
        detector_folder(tmp_path)
    torch.save({'weight': torch.zeros(1)}, tmp_path / 'detection_Resnet50_Final.pth')
    assert detector_folder(tmp_path) == tmp_path


@pytest.mark.skipif(not SHARED.is_file(), reason='needs ../shared with the detector')
def test_the_known_hash_is_that_of_facexlibs_file() -> None:
    from facexlib.detection import init_detection_model
    assert hashlib.sha256(SHARED.read_bytes()).hexdigest() == SHA256
    assert URL in init_detection_model.__code__.co_consts
