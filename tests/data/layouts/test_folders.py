"""Trees of folders: which folder is the identity, and what the keys are."""

from pathlib import Path

import pytest

from cface_basicsr.data.layouts.folders import list_folders
from cface_basicsr.data.layouts.source import list_sources
from cface_basicsr.errors import UserError


def tree(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_a_flat_tree_is_listed_like_casia(tmp_path: Path) -> None:
    root = tree(tmp_path, 'b/2.jpg', 'a/1.JPG', 'a/1.png', 'a/x.y.webp', 'loose.txt')
    folders, casia = list_folders(root), list_sources(root)
    assert folders.sources == casia.sources and folders.digest == casia.digest and folders.renamed == casia.renamed
    assert folders.rejected == casia.rejected == [('loose.txt', 'is not in an identity folder')]


def test_in_a_deeper_tree_the_identity_must_be_chosen(tmp_path: Path) -> None:
    root = tree(tmp_path, 'train/n01/1.jpg', 'test/n02/1.jpg')
    with pytest.raises(UserError, match=r"deeper than <identity>/<image>, for example in 'test/n02'.\n.*--identity "
                                        r"first \('test'\) or --identity last \('n02'\)"):
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
