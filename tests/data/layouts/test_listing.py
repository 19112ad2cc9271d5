"""Every layout, on folders in which links lead nowhere or round in circles."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.layouts.folder_search import leads_back
from cface_basicsr.data.layouts.listing import list_layout
from cface_basicsr.data.layouts.settings import PrepareSettings
from cface_basicsr.errors import UserError


def people(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((218, 178, 3), np.uint8)).save(root / name)
    return root


def celeba(root: Path) -> Path:
    people(root, 'img_align_celeba/000001.jpg', 'img_align_celeba/000002.jpg')
    (root / 'identity_CelebA.txt').write_text('000001.jpg 1\n000002.jpg 2\n')
    return root


SOURCES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    'casia': (lambda root: people(root, 'ann/1.jpg', 'bob/1.jpg'), ['ann/1.jpg', 'bob/1.jpg']),
    'folders': (lambda root: people(root, 'ann/1.jpg', 'bob/x/1.jpg'), ['ann/1.jpg', 'bob/x/1.jpg']),
    'lfw': (lambda root: people(root, 'lfw/Ann/Ann_0001.jpg', 'lfw/Bob/Bob_0001.jpg'),
            ['Ann/Ann_0001.jpg', 'Bob/Bob_0001.jpg']),
    'celeba': (celeba, ['000001.jpg', '000002.jpg']),
}


@pytest.mark.parametrize('layout', SOURCES)
def test_links_that_lead_nowhere_or_back_are_rejected_by_name_and_the_rest_is_listed(
        layout: str, tmp_path: Path) -> None:
    make, expected = SOURCES[layout]
    root = make(tmp_path / 'src')
    inner = sorted({path.parent for path in root.rglob('*.jpg')})[0]
    links = {'loop': 'loop', 'ring': '.', 'up': '..', 'nowhere': 'no', 'pong': 'ping', 'ping': 'pong'}
    for folder in {root, inner, inner.parent}:
        for name, target in links.items():
            (folder / name).symlink_to(target)
    settings = PrepareSettings(scales=(2,), layout=layout, identity='first' if layout == 'folders' else None)
    listing = list_layout(root, settings)
    assert [source.path for source in listing.sources] == expected
    if layout != 'celeba':
        names = {path.rstrip('/') for path, _ in listing.rejected}
        base = {'casia': root, 'folders': root, 'lfw': root / 'lfw'}[layout]
        assert names >= {os.path.relpath(inner / name, base) for name in links} | set(links)


def test_only_a_link_to_a_folder_around_it_leads_back(tmp_path: Path) -> None:
    for name in ('a/b', 'abc'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'other').symlink_to(tmp_path / 'a')
    for name, target, back in [('a/self', '.', True), ('a/b/up', '..', True), ('a/b/far', '/', True),
                               ('a/b/side', '../../abc', False), ('a/b/in', tmp_path / 'other', True),
                               ('abc/a', '../a', False)]:
        (tmp_path / name).symlink_to(target)
        assert leads_back(tmp_path / name) == back, name
    assert leads_back(tmp_path / 'other' / 'b' / 'up')
    assert not leads_back(tmp_path / 'a') and not leads_back(tmp_path / 'other')


def test_folders_that_point_at_each_other_are_listed_once_each(tmp_path: Path) -> None:
    root = people(tmp_path / 'src', 'ann/1.jpg', 'bob/1.jpg')
    (root / 'ann' / 'friend').symlink_to('../bob')
    (root / 'bob' / 'friend').symlink_to('../ann')
    listing = list_layout(root, PrepareSettings(scales=(2,), layout='folders', identity='first'))
    assert [source.path for source in listing.sources] == ['ann/1.jpg', 'ann/friend/1.jpg', 'bob/1.jpg',
                                                           'bob/friend/1.jpg']
    assert listing.rejected == [('ann/friend/friend', 'is a link to a folder that it is in'),
                                ('bob/friend/friend', 'is a link to a folder that it is in')]


@pytest.mark.parametrize('layout', ['folders', 'lfw'])
def test_a_folder_that_cannot_be_read_is_named(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = people(tmp_path / 'src', 'Ann/Ann_0001.jpg', 'Bob/Bob_0001.jpg')
    scandir = os.scandir

    def of_an_ordinary_user(folder: str) -> object:
        if str(folder).endswith('Bob'):
            raise PermissionError(13, 'Permission denied', str(folder))
        return scandir(folder)
    monkeypatch.setattr(os, 'scandir', of_an_ordinary_user)
    listing = list_layout(root, PrepareSettings(scales=(2,), layout=layout))
    assert [source.path for source in listing.sources] == ['Ann/Ann_0001.jpg']
    assert listing.rejected == [('Bob/', 'cannot be read (Permission denied)')]
    shutil.rmtree(root / 'Ann')
    with pytest.raises(UserError, match="folder '.*Bob' cannot be read: Permission denied|has no <identity>/<image>"):
        list_layout(root, PrepareSettings(scales=(2,), layout=layout))
