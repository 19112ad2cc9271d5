"""The keys that photographs get."""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.files.image_keys import LONGEST_PART, escape


def tree(root: Path, *files: str) -> Path:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def keys(root: Path) -> dict[str, str]:
    return {source.path: source.key for source in list_sources(root).sources}


def test_plain_names_stay_as_they_are_and_are_sorted(tmp_path: Path) -> None:
    listing = list_sources(tree(tmp_path, 'b/2.jpg', 'a/010.jpg', 'a/002.jpg'))
    assert [source.key for source in listing.sources] == ['a/002', 'a/010', 'b/2']
    assert listing.renamed == listing.rejected == []


def test_names_that_basicsr_would_merge_at_their_first_dot_stay_distinct(tmp_path: Path) -> None:
    tree(tmp_path, 'a/img.0.jpg', 'a/img.1.jpg')
    assert keys(tmp_path) == {'a/img.0.jpg': 'a/img%2E0', 'a/img.1.jpg': 'a/img%2E1'}
    assert len({key.split('.')[0] for key in keys(tmp_path).values()}) == 2
    assert len(list_sources(tmp_path).renamed) == 2


def test_one_stem_with_two_endings_gives_two_keys(tmp_path: Path) -> None:
    tree(tmp_path, 'a/1.jpg', 'a/1.png', 'a/1', 'a/2.jpg')
    assert keys(tmp_path) == {'a/1.jpg': 'a/1+jpg', 'a/1.png': 'a/1+png', 'a/1': 'a/1+', 'a/2.jpg': 'a/2'}


def test_names_beyond_ascii_are_escaped(tmp_path: Path) -> None:
    assert keys(tree(tmp_path, 'José/é 1.jpg')) == {'José/é 1.jpg': 'Jos%C3%A9/%C3%A9%201'}


def test_names_that_are_not_utf8_are_accepted(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    with open(os.fsencode(tmp_path / 'a') + b'/\xff.jpg', 'w'):
        assert list(keys(tmp_path).values()) == ['a/%FF']


def test_names_that_are_too_long_are_shortened_and_stay_distinct() -> None:
    one, two = escape('x' * 200 + 'a'), escape('x' * 200 + 'b')
    assert one != two and len(one) == len(two) == LONGEST_PART


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(exclude_characters='/\0', exclude_categories=['Cs']), min_size=1, max_size=60),
                unique=True, min_size=2, max_size=6))
def test_keys_are_ascii_without_dots_and_never_collide(names: list[str]) -> None:
    escaped = [escape(name) for name in names]
    assert len(set(escaped)) == len(names)
    for key in escaped:
        assert key.isascii() and not set(key) & set('./ \n') and 0 < len(key) <= LONGEST_PART
