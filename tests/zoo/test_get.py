"""A network into the user's folder: whole and the one of its card, or not at all."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import cface_basicsr as cface
from cface_basicsr.errors import UserError
from cface_basicsr.zoo import catalogue, get
from cface_basicsr.zoo.catalogue import user_networks
from cface_basicsr.zoo.get import get_network
from tests.zoo.made_up_networks import write_zoo


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the package; the user's is below tmp_path."""
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    for module in (catalogue, get):
        monkeypatch.setattr(module, 'SHIPPED_NETWORKS', tmp_path / 'package')
    return tmp_path / 'package'


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a server on this machine that shows the folder `shelf`."""
    (tmp_path / 'shelf').mkdir()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=tmp_path / 'shelf'))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()
    server.server_close()


def there() -> list[str]:
    folder = user_networks()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_network_of_a_folder_is_copied_whole_and_loads_by_its_name(tmp_path: Path) -> None:
    made = write_zoo(tmp_path / 'shelf')
    found, copied = get_network('tiny-x8', tmp_path / 'shelf')
    assert copied and found.path.read_bytes() == made.path.read_bytes()
    assert there() == ['tiny-x8.safetensors', 'tiny-x8.yml']
    assert cface.load('tiny-x8').scale == 8
    assert get_network('tiny-x8', tmp_path / 'shelf')[1] is False


def test_a_network_comes_by_its_address_or_by_the_one_in_the_packages_card(tmp_path: Path, package: Path,
                                                                           address: str) -> None:
    made = write_zoo(tmp_path / 'shelf', url=address)
    assert get_network('tiny-x8', address, sha256=made.card.sha256.upper())[0].path.read_bytes() == \
        made.path.read_bytes()
    for path in user_networks().iterdir():
        path.unlink()
    package.mkdir()
    (package / 'tiny-x8.yml').write_bytes((tmp_path / 'shelf/tiny-x8.yml').read_bytes())
    get_network('tiny-x8')
    assert there() == ['tiny-x8.safetensors', 'tiny-x8.yml'] and cface.load('tiny-x8').scale == 8


@pytest.mark.parametrize(('change', 'message'), [
    (lambda old: old[:-1] + bytes([old[-1] ^ 1]), 'not the file of its card: SHA-256 .*, expected .*Nothing was'),
    (lambda old: old[:-10], 'not the file of its card: .* of .* bytes. Nothing was copied'),
    (lambda old: old + b'x', 'not the file of its card: more than the .* bytes that its card says. Nothing')])
def test_another_file_than_that_of_the_card_is_refused_and_leaves_nothing(tmp_path: Path, change, message) -> None:
    made = write_zoo(tmp_path / 'shelf')
    made.path.write_bytes(change(made.path.read_bytes()))
    with pytest.raises(UserError, match=message):
        get_network('tiny-x8', tmp_path / 'shelf')
    assert there() == []


def test_an_endless_answer_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_zoo(tmp_path / 'shelf')
    made.path.unlink()
    made.path.symlink_to('/dev/zero')
    monkeypatch.setattr(Path, 'is_file', Path.exists)
    with pytest.raises(UserError, match='more than the'):
        get_network('tiny-x8', tmp_path / 'shelf')


def test_another_network_of_the_same_name_is_replaced_only_when_asked(tmp_path: Path) -> None:
    write_zoo(tmp_path / 'shelf', seed=1)
    first, _ = get_network('tiny-x8', tmp_path / 'shelf')
    old = first.path.read_bytes()
    other = write_zoo(tmp_path / 'other', seed=2)
    with pytest.raises(UserError, match="another network 'tiny-x8' is in '.*' already; --overwrite replaces it"):
        get_network('tiny-x8', tmp_path / 'other')
    assert first.path.read_bytes() == old
    get_network('tiny-x8', tmp_path / 'other', overwrite=True)
    assert first.path.read_bytes() == other.path.read_bytes() != old


def test_wrong_places_and_names_get_a_sentence(tmp_path: Path, address: str, package: Path) -> None:
    write_zoo(tmp_path / 'shelf')
    write_zoo(package, 'shipped-x8')
    write_zoo(package, 'without-x8').path.unlink()
    for arguments, message in [
            (('tiny-x9', tmp_path / 'shelf'), "tiny-x9.yml' is missing; did you mean 'tiny-x8'?"),
            (('tiny-x8', tmp_path / 'nowhere'), "nowhere' is missing. Expected one with tiny-x8.yml"),
            (('tiny-x8', tmp_path), "tiny-x8.yml' is missing; no other network"),
            (('tiny-x9', address), 'cannot be read .*(?i:not found).*--from DIR'),
            (('tiny-x8', 'http://127.0.0.1:9'), 'cannot be read .*refused'),
            (('tiny-x8', 'http://example.org'), 'expected an https address'),
            (('shipped-x8',), 'comes with the package; there is nothing to get'),
            (('without-x8',), 'has no address. Say where it is'), (('unknown',), "network 'unknown' is missing")]:
        with pytest.raises(UserError, match=message):
            get_network(*arguments)
    with pytest.raises(UserError, match='--sha256 is 000000000000…, and its card says'):
        get_network('tiny-x8', tmp_path / 'shelf', sha256='0' * 64)
    assert there() == []
