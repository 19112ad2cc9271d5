"""A table of files and identities: which photographs it names, what they are called, and what is refused."""

from pathlib import Path

import pytest

from cface_basicsr.data.layouts.csv_table import list_csv
from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.errors import UserError
from tests.data.layouts.test_folders import tree


def table(root: Path, *lines: str, head: str = 'file,identity') -> Path:
    (root / 'photos.csv').write_text('\n'.join([head, *lines]) + '\n', encoding='utf-8')
    return root / 'photos.csv'


def test_files_get_the_identities_of_their_lines_wherever_they_are(tmp_path: Path) -> None:
    root = tree(tmp_path, '2019/IMG_1.jpg', 'bob at sea.tif', 'x/2.jpg', 'x/unnamed.jpg')
    listing = list_csv(table(root, '2019/IMG_1.jpg;Ann', 'bob at sea.tif;Bob;left', './x\\2.jpg;Ann', '',
                             'gone.jpg;Ann', head='File;Identity;pose'))
    assert {source.path: source.key for source in listing.sources} == {
        '2019/IMG_1.jpg': 'Ann/2019%2FIMG_1', 'x/2.jpg': 'Ann/x%2F2', 'bob at sea.tif': 'Bob/bob%20at%20sea'}
    assert [listing.photos.read(source) for source in listing.sources][0] == b'2019/IMG_1.jpg'
    assert listing.rejected == [('gone.jpg', 'is not a regular file')]
    assert listing.files == {'table': root / 'photos.csv'}  # its hash is part of what a run may continue


def test_a_table_of_folders_of_people_gives_the_keys_and_the_digest_of_casia(tmp_path: Path) -> None:
    names = ['Ann/1.jpg', 'Ann/1.png', 'Ann/x.y.webp', 'Bob/1.jpg']
    casia = list_sources(tree(tmp_path / 'photos', *names))
    there = table(tmp_path / 'photos', *(f'{name},{name[:3]}' for name in reversed(names)))
    assert list_csv(there).sources == casia.sources
    assert list_csv(there).digest == casia.digest


@pytest.mark.parametrize(('lines', 'message'), [
    (['a.jpg,Ann', './a.jpg,Bob'], "line 3: './a.jpg' occurs for the second time"),
    (['a.jpg,'], "line 2: expected a file and an identity, got 'a.jpg'"),
    ([',Ann'], "line 2: expected a file and an identity, got ',Ann'"),
    (['../a.jpg,Ann'], "line 2: '../a.jpg' is not below the folder of the table"),
    (['/etc/passwd,Ann'], "line 2: '/etc/passwd' is not below the folder of the table"),
    (['.,Ann'], "line 2: '.' is not below"),
    (['gone.jpg,Ann'], r'of its files none is there: 1 of 1: is not a regular file \(gone.jpg\)'),
    ([], 'it has no lines'),
    (['a.jpg,Ann', 'Ann/a.jpg,Ann'], "'Ann/a.jpg' and 'a.jpg' would both be image 'Ann/a"),
])
def test_what_a_line_cannot_mean_is_refused_with_its_number(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_csv(table(tree(tmp_path, 'a.jpg', 'Ann/a.jpg'), *lines))


def test_another_first_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the first line 'file,identity', got 'path,name'"):
        list_csv(table(tmp_path, 'a.jpg,Ann', head='path,name'))


def test_the_paths_may_be_whole_as_other_programs_write_them(tmp_path: Path) -> None:
    root = tree(tmp_path, 'x/1.jpg')
    assert [source.key for source in list_csv(table(root, f'{root}/x/1.jpg,Ann')).sources] == ['Ann/x%2F1']
