"""The bits of the perceptual hash mean what they should, and the search finds exactly the near hashes."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from cface_basicsr.data.audit import perceptual_hash
from cface_basicsr.data.audit.perceptual_hash import WORDS, grey_square, mirrored, near_pairs, perceptual_hashes
from tests.photos import crop, mirror, photo, recompressed, resized


def bits(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=-1)


def whole(picture: np.ndarray) -> np.ndarray:
    return perceptual_hashes(picture)[0]


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int((bits(whole(a)) != bits(whole(b))).sum())


def test_a_bit_is_the_sign_of_a_cosine_frequency() -> None:
    picture = photo(0, size=96)
    spectrum = dctn(grey_square(picture).astype(np.float64), norm='ortho')
    signs = [spectrum[v, u] > 0 for v in range(1, 16) for u in range(1, 17 - v)]
    assert bits(whole(picture))[:120].tolist() == signs and not bits(whole(picture))[120:].any()


def test_one_bit_by_hand() -> None:
    picture = photo(1, size=64)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    total = 0.0
    for y in range(64):
        for x in range(64):
            total += grey[y, x] * math.cos(math.pi * (2 * y + 1) * 3 / 128) * math.cos(math.pi * (2 * x + 1) * 6 / 128)
    assert bits(whole(picture))[15 + 14 + 5] == (total > 0)  # after the rows of v = 1 and 2: v = 3, u = 6


def test_the_other_hashes_are_those_of_the_middle() -> None:
    picture = photo(4)
    _, second, third = perceptual_hashes(picture)
    assert (second == whole(crop(picture, 2))).all() and (third == whole(crop(picture, 4))).all()


@pytest.mark.parametrize('size', [40, 64, 128, 250])
def test_the_hash_of_a_mirrored_picture_follows_from_the_hash(size: int) -> None:
    pictures = [photo(seed, size) for seed in range(5)]
    direct = np.stack([whole(mirror(each)) for each in pictures])
    known = mirrored(np.stack([whole(each) for each in pictures]))
    assert (bits(direct) != bits(known)).sum() <= 2  # a frequency near zero may round to either side
    assert (mirrored(known) == np.stack([whole(each) for each in pictures])).all()


def test_the_hashes_of_copies_are_near_and_those_of_other_pictures_far() -> None:
    picture = photo(2)
    copies = [recompressed(picture, 50), resized(picture, 0.5), crop(picture, 2)]
    assert max(distance(picture, copy) for copy in copies) <= 20
    assert min(distance(picture, photo(seed)) for seed in range(3, 13)) >= 40


def test_grey_and_colour_give_the_same_hash() -> None:
    grey = cv2.cvtColor(photo(3), cv2.COLOR_RGB2GRAY)
    assert distance(grey, np.stack([grey] * 3, axis=2)) == 0


def test_an_empty_picture_has_a_hash_too() -> None:
    assert perceptual_hashes(np.full((128, 128, 3), 77, np.uint8)).shape == (3, WORDS)


def nearly_equal_hashes(seed: int, count: int) -> np.ndarray:
    """Hashes around three centres, up to a fifth of the bits from them; some equal."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2, (3, WORDS * 64), np.uint8)
    chosen = centres[random.integers(0, 3, count)]
    flips = random.random(chosen.shape) < random.choice([0, 0.02, 0.1, 0.2], (count, 1))
    return np.packbits(chosen ^ flips, axis=1).view(np.uint64)


def brute_force(left: np.ndarray, right: np.ndarray, radius: int, later: bool) -> list[tuple[int, int, int]]:
    found = []
    for row, a in enumerate(left):
        for other, b in enumerate(right):
            count = sum(bin(int(x) ^ int(y)).count('1') for x, y in zip(a, b, strict=True))
            if count <= radius and (other > row or not later):
                found.append((row, other, count))
    return found


@pytest.fixture(params=['faiss', 'NumPy'])
def search(request: pytest.FixtureRequest) -> str:
    """What compares the hashes; skips where it is not installed."""
    if request.param == 'faiss':
        pytest.importorskip('faiss', reason='the extra "audit" is not installed')
    return request.param


def without_faiss(patch: pytest.MonkeyPatch, search: str) -> None:
    if search == 'NumPy':
        patch.setattr(perceptual_hash, 'find_spec', lambda name: None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), rows=st.integers(0, 20), columns=st.integers(0, 20), radius=st.integers(0, 130),
       later=st.booleans(), threads=st.integers(1, 2))
def test_the_search_finds_what_brute_force_finds(search: str, seed: int, rows: int, columns: int, radius: int,
                                                 later: bool, threads: int) -> None:
    with pytest.MonkeyPatch.context() as patch:  # small tiles, so that there are several
        without_faiss(patch, search)
        patch.setattr(perceptual_hash, '_ROWS', 3)
        patch.setattr(perceptual_hash, '_COLUMNS', 7)
        patch.setattr(perceptual_hash, '_INDEXED', 7)
        left = nearly_equal_hashes(seed, rows)
        right = left if later else nearly_equal_hashes(seed, columns)
        found = [pair for part in near_pairs(left, right, radius, later=later, threads=threads)
                 for pair in zip(*(each.tolist() for each in part), strict=True)]
    assert found == brute_force(left, right, radius, later)


def test_inside_one_set_faiss_leaves_out_the_columns_before_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('faiss', reason='the extra "audit" is not installed')
    monkeypatch.setattr(perceptual_hash, '_INDEXED', 32)
    searched, found = [], perceptual_hash._found
    monkeypatch.setattr(perceptual_hash, '_found', lambda index, block, radius, start: (
        searched.append(start), found(index, block, radius, start))[1])
    hashes = nearly_equal_hashes(0, 90)
    list(near_pairs(hashes, hashes, 10, later=True))
    assert searched == [0, 32, 64, 32, 64, 64]


def test_opposite_hashes_are_128_bits_apart(search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_faiss(monkeypatch, search)
    zeros = np.zeros((1, WORDS), np.uint64)
    (found,) = near_pairs(zeros, ~zeros, 127)
    assert len(found.left) == 0
    (found,) = near_pairs(zeros, ~zeros, 128)
    assert found.distance.tolist() == [128]


def test_the_search_reports_its_progress() -> None:
    done: list[int] = []
    hashes = nearly_equal_hashes(0, 70)
    list(near_pairs(hashes, hashes, 10, progress=done.append))
    assert done == [32, 64, 70]
