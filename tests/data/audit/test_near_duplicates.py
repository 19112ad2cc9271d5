"""Pairs with near hashes are compared as pictures."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.audit import near_duplicates as module
from cface_basicsr.data.audit.near_duplicates import ALIKE, NearPair, likeness, near_duplicates
from cface_basicsr.data.audit.perceptual_hash import grey_square
from cface_basicsr.data.audit.picture_set import Distinct, fingerprint_pictures, open_pictures
from cface_basicsr.errors import UserError
from tests.photos import Silent, crop, mirror, photo, recompressed, resized, write_tree


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return likeness(grey_square(a), grey_square(b))


def test_the_likeness_of_a_picture_to_itself_is_1() -> None:
    assert alike(photo(0), photo(0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('copy', [lambda x: recompressed(x, 50), lambda x: resized(x, 0.5), lambda x: crop(x, 2),
                                  lambda x: (x * 0.7 + 30).astype(np.uint8)])
def test_copies_are_alike_in_either_order(copy: object) -> None:
    picture = photo(1)
    assert alike(picture, copy(picture)) > ALIKE
    assert alike(picture, copy(picture)) == pytest.approx(alike(copy(picture), picture), abs=1e-6)


def test_other_pictures_and_a_mirrored_or_negative_one_are_not_alike() -> None:
    picture = photo(2)
    assert max(alike(picture, photo(seed)) for seed in range(3, 9)) < 0.8
    assert alike(picture, mirror(picture)) < 0.8
    assert alike(picture, 255 - picture) < 0.8


def test_empty_pictures_are_not_alike() -> None:
    empty = np.full((128, 128, 3), 200, np.uint8)
    assert alike(empty, empty) == alike(empty, photo(0)) == alike(photo(0), empty) == 0


def distinct(root: Path, pictures: list[np.ndarray]) -> Distinct:
    tree = write_tree(root, {f'p{number}/1': picture for number, picture in enumerate(pictures)})
    opened = open_pictures(tree)
    return Distinct(opened, fingerprint_pictures(opened))


def everything(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.ones(len(rows), bool)


def test_copies_are_found_in_two_sets_and_nothing_else(tmp_path: Path) -> None:
    left = distinct(tmp_path / 'left', [photo(seed) for seed in range(6)])
    right = distinct(tmp_path / 'right', [photo(50), mirror(photo(4)), crop(recompressed(photo(1), 60), 4), photo(51)])
    found = near_duplicates(left, right, 22, everything, show=Silent())
    assert [(pair.left, pair.right, pair.mirrored) for pair in found] == [(1, 2, False), (4, 1, True)]
    back = near_duplicates(right, left, 22, everything, show=Silent())  # now the left one lost its border
    assert [pair[:3] for pair in back] == [(1, 4, True), (2, 1, False)]


def test_pictures_of_which_only_the_hashes_are_near_are_not_reported(tmp_path: Path) -> None:
    left, right = distinct(tmp_path / 'a', [photo(0), photo(1)]), distinct(tmp_path / 'b', [photo(7), photo(1)])
    show = Silent()
    found = near_duplicates(left, right, 120, everything, show=show)
    assert [pair[:3] for pair in found] == [(1, 1, False)]
    assert show.notes[-1] == '1 of 8 are the same picture'  # each pair, plain and mirrored


def test_two_pictures_are_reported_once_by_their_greatest_likeness() -> None:
    plain, flipped = NearPair(3, 4, False, 9, 0.97), NearPair(3, 4, True, 2, 0.98)
    other = NearPair(0, 4, False, 5, 0.99)
    assert module._best([plain, flipped, other]) == module._best([flipped, plain, other]) == [other, flipped]


def test_the_comparison_of_pictures_can_be_sent_to_a_process(tmp_path: Path) -> None:
    side = distinct(tmp_path / 'a', [photo(0)])
    reader = pickle.loads(pickle.dumps(side.pictures.reader))
    (value,) = pickle.loads(pickle.dumps(module._likenesses))(reader, reader, [(side.source(0), side.source(0), False)])
    assert value == pytest.approx(1, abs=1e-5)


def test_too_many_pairs_are_refused_before_they_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'MOST', 3)
    left = distinct(tmp_path / 'left', [np.full((64, 64, 3), shade, np.uint8) for shade in range(0, 200, 40)])
    with pytest.raises(UserError, match='more than 3 pairs of pictures differ in 22 bits'):
        near_duplicates(left, left, 22, everything, later=True, show=Silent())


def test_a_picture_that_vanished_is_named(tmp_path: Path) -> None:
    left, right = distinct(tmp_path / 'left', [photo(0)]), distinct(tmp_path / 'right', [photo(0)])
    (tmp_path / 'right' / 'p0' / '1.png').unlink()
    with pytest.raises(UserError, match="'p0/1.png' could be read before, but now it cannot"):
        near_duplicates(left, right, 22, everything, show=Silent())


