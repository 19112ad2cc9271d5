"""Trees of folders: which files are listed, which folder is the identity, and what the keys are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.data.layouts.folders import list_folders, list_sources
from cface_basicsr.data.layouts.source import Listing
from cface_basicsr.errors import UserError


def tree(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith('/'):
            path.write_text(name)
        else:
            path.mkdir(exist_ok=True)
    return root


def test_a_flat_tree_is_listed_like_casia(tmp_path: Path) -> None:
    root = tree(tmp_path, 'b/2.jpg', 'a/1.JPG', 'a/1.png', 'a/x.y.webp', 'loose.txt')
    folders, casia = list_folders(root), list_sources(root)
    assert folders.sources == casia.sources and folders.digest == casia.digest and folders.renamed == casia.renamed
    assert folders.rejected == casia.rejected == [('loose.txt', 'is not in an identity folder')]


def test_in_a_deeper_tree_the_identity_must_be_chosen(tmp_path: Path) -> None:
    root = tree(tmp_path, 'train/n01/1.jpg', 'test/n02/1.jpg')
    with pytest.raises(UserError, match=r"deeper than <identity>/<image>, for example in 'test/n02'.\n.*--identity "
                                        r"first \('test'\) or last \('n02'\)"):
        list_folders(root)


def test_the_last_folder_may_be_the_identity_wherever_it_is(tmp_path: Path) -> None:
    listing = list_folders(tree(tmp_path, 'train/n01/1.jpg', 'test/n01/1.jpg', 'test/n02/1.jpg'), identity='last')
    assert {source.path: source.key for source in listing.sources} == {
        'test/n01/1.jpg': 'n01/test%2F1', 'train/n01/1.jpg': 'n01/train%2F1', 'test/n02/1.jpg': 'n02/test%2F1'}
    assert listing.renamed == []


def test_the_first_folder_may_be_the_identity_with_all_that_is_below(tmp_path: Path) -> None:
    listing = list_folders(tree(tmp_path, 'Ann/0/0.1.jpg', 'Ann/1/0.1.jpg', 'Ann/2.jpg', 'Bob/0/7.jpg'),
                           identity='first')
    assert {source.path: source.key for source in listing.sources} == {
        'Ann/0/0.1.jpg': 'Ann/0%2F0%2E1', 'Ann/1/0.1.jpg': 'Ann/1%2F0%2E1', 'Ann/2.jpg': 'Ann/2',
        'Bob/0/7.jpg': 'Bob/0%2F7'}
    assert {source.path for source in listing.renamed} == {'Ann/0/0.1.jpg', 'Ann/1/0.1.jpg'}  # for their dots


def test_an_empty_folder_is_rejected_and_a_source_without_images_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / 'a', 'x/1.jpg')
    (root / 'empty').mkdir()
    assert list_folders(root).rejected == [('empty/', 'empty identity: no files')]
    with pytest.raises(UserError, match='has no <identity>/<image> files'):
        list_folders(tree(tmp_path / 'b', '1.jpg'))
    with pytest.raises(UserError, match=r'\nWhat is there: 2 of 3: is not in an identity folder .1.jpg.; 1 of 3: empty '
                                        'identity: no files .x/..$'):
        list_folders(tree(tmp_path / 'c', '1.jpg', '2.jpg', 'x/'))


def test_what_cannot_be_a_photograph_is_rejected_with_a_reason(tmp_path: Path) -> None:
    tree(tmp_path, 'loose.jpg', 'a/1.jpg', 'a/deep/2.jpg', 'empty/')
    assert dict(list_sources(tmp_path).rejected) == {
        'loose.jpg': 'is not in an identity folder', 'a/deep': 'is deeper than <identity>/<image>',
        'empty/': 'empty identity: no files'}


def test_the_digest_changes_with_names_and_sizes_only(tmp_path: Path) -> None:
    one, two = tree(tmp_path / 'one', 'a/1.jpg', 'a/2.jpg'), tree(tmp_path / 'two', 'a/2.jpg', 'a/1.jpg')
    digest = list_sources(one).digest
    assert list_sources(two).digest == digest
    (two / 'a' / '1.jpg').write_text('longer than before')
    assert list_sources(two).digest != digest


def test_a_source_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='is missing'):
        list_sources(tmp_path / 'no')
    with pytest.raises(UserError, match='<identity>/<image>'):
        list_sources(tree(tmp_path, '1.jpg', '2.jpg'))


def test_the_settings_file_that_cface_synth_leaves_is_not_rejected(tmp_path):
    write_synthetic_faces(tmp_path / 'faces', TreeSettings(identities=2, images=1, size=64))
    (tmp_path / 'faces/notes.txt').write_text('mine')
    listing = list_sources(tmp_path / 'faces')
    assert len(listing.sources) == 2
    assert [path for path, _ in listing.rejected] == ['notes.txt']


@pytest.mark.parametrize('lister', [list_sources, list_folders])
def test_a_link_to_itself_is_rejected_like_a_dead_link(tmp_path: Path, lister: Callable[[Path], Listing]) -> None:
    root = tree(tmp_path, 'a/1.jpg')
    (root / 'a' / 'loop').symlink_to('loop')
    (root / 'ring').symlink_to('ring')
    (root / 'a' / 'dead').symlink_to('nothing')
    listing = lister(root)
    assert [source.path for source in listing.sources] == ['a/1.jpg']
    assert dict(listing.rejected) == dict.fromkeys(['a/dead', 'a/loop', 'ring'], 'is not a regular file')
