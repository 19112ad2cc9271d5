"""Networks by name: found, checked by their hash, and the nearest name where there is none."""

from pathlib import Path

import pytest
import torch

import cface_basicsr as cface
from cface_basicsr.errors import UserError
from cface_basicsr.files.yaml_file import read_yaml, to_yaml
from cface_basicsr.zoo import catalogue
from cface_basicsr.zoo.catalogue import find_network, network_path, user_networks, zoo
from tests.zoo.made_up_networks import write_zoo


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An empty folder of the package and one of the user, instead of the real ones."""
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(catalogue, 'SHIPPED_NETWORKS', tmp_path / 'package')
    return tmp_path / 'package', user_networks()


def test_the_users_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_networks() == tmp_path / 'home/networks'
    monkeypatch.delenv('CFACE_HOME')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    assert user_networks() == tmp_path / 'cache/cface/networks'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert user_networks() == tmp_path / '.cache/cface/networks'


def test_networks_of_both_folders_are_listed_and_load_by_name(folders: tuple[Path, Path]) -> None:
    write_zoo(folders[0], 'tiny-x8')
    write_zoo(folders[1], 'own-x4', scale=4)
    assert list(zoo()) == ['own-x4', 'tiny-x8']
    resolver = cface.load('own-x4')
    assert resolver.scale == 4 and resolver.enhance(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 128, 128)


def test_the_packages_network_comes_first_unless_only_its_card_came(folders: tuple[Path, Path]) -> None:
    shipped, own = write_zoo(folders[0], seed=1), write_zoo(folders[1], seed=2)
    assert find_network('tiny-x8').path == shipped.path
    shipped.path.unlink()
    assert find_network('tiny-x8').path == own.path


def test_a_path_is_left_as_it_is_and_a_name_becomes_the_file_of_the_zoo(folders: tuple[Path, Path]) -> None:
    made = write_zoo(folders[1])
    assert network_path('tiny-x8') == made.path
    for path in ('tiny-x8.pth', 'folder/tiny-x8', 'a.onnx', 'a.safetensors'):
        assert network_path(path) == Path(path)


def test_an_unknown_name_is_refused_with_the_nearest(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="'tiny-x9' is missing: neither .* there is none yet. Get one: cface models g"):
        cface.load('tiny-x9')
    write_zoo(folders[1])
    with pytest.raises(UserError, match="network 'tiny-x9' is missing: .*; did you mean 'tiny-x8'?") as caught:
        cface.load('tiny-x9')
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_differs_from_its_card_in_one_byte_is_refused(folders: tuple[Path, Path]) -> None:
    made = write_zoo(folders[1])
    content = bytearray(made.path.read_bytes())
    content[-1] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(UserError, match=f"damaged or another file: its SHA-256 is .*'tiny-x8' says "
                                        f"{made.card.sha256[:12]}…. Get it again: cface models get tiny-x8"):
        cface.load('tiny-x8')


@pytest.mark.parametrize(('url', 'message'), [
    (None, "tiny-x8.safetensors' is missing. The card"),
    ('https://example.org', 'does not come with the package. Get it: cface models get tiny-x8$')])
def test_a_card_whose_file_is_missing_says_how_to_get_it(folders: tuple[Path, Path], url: str | None,
                                                         message: str) -> None:
    write_zoo(folders[0], url=url).path.unlink()
    assert not find_network('tiny-x8').here
    with pytest.raises(UserError, match=message):
        cface.load('tiny-x8')


@pytest.mark.parametrize(('change', 'message'), [
    ({'licens': 'MIT'}, "tiny-x8.yml': option 'licens' is unknown; did you mean 'licence'?"),
    ({'licence': None}, "option 'licence': input should be a valid string"),
    ({'licence': ' '}, "option 'licence': expected a few words, got none"),
    ({'scale': 3}, "option 'scale'"), ({'sha256': 'AB'}, "option 'sha256'"), ({'bytes': 0}, "option 'bytes'"),
    ({'identity': [{'what': 'accuracy', 'value': 1.0}]}, "option 'identity.command' is missing"),
    ({'name': 'other'}, "says that its network is called 'other'")])
def test_a_broken_card_is_named_with_what_is_wrong(folders: tuple[Path, Path], change: dict, message: str) -> None:
    made = write_zoo(folders[1])
    card = made.path.with_suffix('.yml')
    card.write_text(to_yaml(read_yaml(card) | change))
    with pytest.raises(UserError, match=message):
        cface.load('tiny-x8')
