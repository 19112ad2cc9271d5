"""Each part of a degradation against a literal loop, and what a camera draws of them."""

import math

import numpy as np
import pytest

from cface_basicsr.data.generated_faces import render_face
from cface_basicsr.data.images.degradations import DEGRADATIONS, blur, camera_parts, degraded, jpeg, noise, shift
from cface_basicsr.data.images.low_resolution import low_resolution
from tests.references.slow_jpeg import slow_jpeg

FACE = render_face(identity=3, image=1, size=128)
NOISE = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)


@pytest.mark.parametrize('deviation', [0.2, 1.0, 2.5])
def test_blur_is_a_gaussian_of_three_standard_deviations_over_a_reflected_image(deviation: float) -> None:
    reach = math.ceil(3 * deviation)
    weights = [math.exp(-step ** 2 / (2 * deviation ** 2)) for step in range(-reach, reach + 1)]
    expected = NOISE.astype(float)
    for axis in (0, 1):
        before, length = expected, NOISE.shape[axis]
        expected = np.zeros_like(before)
        for place in range(length):
            for step, weight in zip(range(-reach, reach + 1), weights, strict=True):
                other = abs(place + step)
                other = 2 * (length - 1) - other if other >= length else other
                here = (slice(None),) * axis
                expected[(*here, place)] += weight / sum(weights) * before[(*here, other)]
    found = blur(NOISE, deviation, None)
    assert np.abs(found - expected).max() < 2 and np.abs(found - expected).mean() < 0.5  # OpenCV's weights have 8 bits
    assert (blur(NOISE, 0, None) == NOISE).all()


@pytest.mark.parametrize('quality', [10, 30, 50, 75, 90])
def test_jpeg_leaves_what_a_literal_coder_and_decoder_leave(quality: int) -> None:
    for image in (low_resolution(FACE[None], 4)[0], FACE):
        found, expected = jpeg(image, quality, None).astype(int), slow_jpeg(image, quality).astype(int)
        differing = np.abs(found - expected)
        assert differing.mean() < 0.6 and np.quantile(differing, 0.99) <= 4  # libjpeg computes in whole numbers
        assert np.abs(image - expected).mean() > 5 * differing.mean()


def test_a_quality_between_two_whole_numbers_is_rounded() -> None:
    assert (jpeg(FACE, 49.6, None) == jpeg(FACE, 50, None)).all()
    assert (jpeg(FACE, 49.4, None) != jpeg(FACE, 50, None)).any()


def test_noise_adds_what_is_drawn_rounds_and_stays_a_byte() -> None:
    drawn = np.random.default_rng(7).standard_normal(NOISE.shape, dtype=np.float32)
    expected = np.empty_like(NOISE)
    for place, value in np.ndenumerate(NOISE):
        expected[place] = min(255, max(0, round(float(np.float32(value) + np.float32(20) * drawn[place]))))
    assert (noise(NOISE, 20, np.random.default_rng(7)) == expected).all()
    grey = noise(np.full((256, 256, 3), 128, np.uint8), 5, np.random.default_rng(0)).astype(float)
    assert grey.std() == pytest.approx(math.sqrt(25 + 1 / 12), rel=0.01)  # rounding adds a twelfth
    assert abs(np.corrcoef(grey[..., 0].ravel(), grey[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize('pixels', [0, 1, 3.6])
def test_a_shift_moves_by_whole_pixels_and_reflects_the_image_where_nothing_is_known(pixels: float) -> None:
    count, expected = round(pixels), np.empty_like(NOISE)
    for row in range(NOISE.shape[0]):
        for column in range(NOISE.shape[1]):
            expected[row, column] = NOISE[abs(row - count), abs(column - count)]
    assert (shift(NOISE, pixels, None) == expected).all()


@pytest.mark.parametrize('scale', [2, 4, 8])
def test_without_parts_lr_is_what_prepare_makes(scale: int) -> None:
    assert (degraded(FACE, scale, (), np.random.default_rng(0)) == low_resolution(FACE[None], scale)[0]).all()


@pytest.mark.parametrize('scale', [2, 8])
def test_hr_is_degraded_in_pixels_of_lr_then_reduced_and_lr_is_degraded_after_it(scale: int) -> None:
    parts = [('blur', 0.5), ('jpeg-before', 60), ('noise', 10), ('jpeg', 40)]
    hr = jpeg(blur(FACE, 0.5 * scale, None), 60, None)
    lr = jpeg(noise(low_resolution(hr[None], scale)[0], 10, np.random.default_rng(5)), 40, None)
    assert (degraded(FACE, scale, parts, np.random.default_rng(5)) == lr).all()
    moved = low_resolution(shift(FACE, scale // 2, None)[None], scale)[0]
    assert (degraded(FACE, scale, [('shift', 0.5)], None) == moved).all()


def test_a_camera_leaves_one_face_in_four_as_it_is_and_draws_all_parts_of_the_others_within_their_ranges() -> None:
    drawn = [camera_parts(np.random.default_rng(number)) for number in range(2000)]
    assert sum(not parts for parts in drawn) / 2000 == pytest.approx(0.25, abs=0.03)
    names = [name for name, kind in DEGRADATIONS.items() if kind.camera]
    assert names == ['blur', 'jpeg-before', 'noise', 'jpeg']
    for place, name in enumerate(names):
        strengths = [parts[place][1] for parts in drawn if parts]
        low, high = DEGRADATIONS[name].camera
        assert all(parts[place][0] == name for parts in drawn if parts)
        assert low <= min(strengths) < low + 0.02 * (high - low) and high >= max(strengths) > high - 0.02 * (high - low)
        assert np.mean(strengths) == pytest.approx((low + high) / 2, rel=0.05)


@pytest.mark.parametrize('name', DEGRADATIONS)
def test_every_kind_can_be_measured_changes_lr_and_keeps_its_input(name: str) -> None:
    before, plain = FACE.copy(), low_resolution(FACE[None], 8)[0]
    results = [degraded(FACE, 8, [(name, strength)], np.random.default_rng(0))
               for strength in DEGRADATIONS[name].strengths]
    assert all(each.shape == plain.shape and each.dtype == np.uint8 and (each != plain).any() for each in results)
    assert (FACE == before).all()
