import copy
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.data.images.align import similarity_transform, template_points
from cface_basicsr.enhancing.half import HalfPrecision
from cface_basicsr.enhancing.photo import PhotoSettings, enhance_photo, enhance_photos
from cface_basicsr.enhancing.placing import face_points
from cface_basicsr.errors import UserError
from cface_basicsr.ops.resize import bicubic_resize


def at(height: float, left: float, top: float) -> np.ndarray:
    """A row of a detector for an upright face in a square of `height` pixels."""
    points = template_points('arcface', 128) * height / 128 + [left, top]
    return np.concatenate([[left, top, left + height, top + height, 0.99], points.ravel()]).astype(np.float32)


def detector_of(*faces: np.ndarray):
    """Finds these faces in the photograph as it is, and none in copies of other sizes."""
    def detect(picture: np.ndarray, sure: float) -> np.ndarray:
        return np.stack(faces) if picture.shape[:2] == (90, 120) else np.zeros((0, 15), np.float32)
    return detect


def network(images: torch.Tensor) -> torch.Tensor:
    """Bicubic, and brighter, so that one sees where it was."""
    return bicubic_resize(images, (128, 128)) + 0.2


PHOTO = np.random.default_rng(1).integers(60, 120, (90, 120, 3)).astype(np.uint8)
PLAIN = PhotoSettings(keep_colours=False)


def test_faces_become_brighter_and_everything_else_stays() -> None:
    faces = at(20, 10, 10), at(22, 70, 40)
    result = enhance_photo(PHOTO, network, 4, PLAIN, detector_of(*faces))
    difference = result.image.astype(int) - PHOTO
    assert [round(face.found.height) for face in result.faces] == [20, 22]
    for left, top, height in ((10, 10, 20), (70, 40, 22)):
        middle = difference[top + height // 2 - 3:top + height // 2 + 3, left + height // 2 - 3:left + height // 2 + 3]
        assert 40 < middle.mean() < 62  # 0.2 * 255
    outside = np.ones((90, 120), bool)
    outside[10:30, 10:30] = outside[40:62, 70:92] = False
    assert (difference[outside] == 0).all()


def test_with_the_photographs_colours_a_brighter_face_is_as_bright_as_before() -> None:
    result = enhance_photo(PHOTO, network, 4, None, detector_of(at(20, 10, 10)))
    assert result.image[13:27, 13:27].mean() == pytest.approx(PHOTO[13:27, 13:27].mean(), abs=3)


def test_faces_that_are_too_small_or_too_large_are_named_and_skipped() -> None:
    result = enhance_photo(PHOTO, network, 4, PhotoSettings(min_face=15, max_face=30),
                           detector_of(at(14.8, 5, 5), at(33, 40, 20)))
    assert (result.image == PHOTO).all()
    assert [face.skipped for face in result.faces] == ['14.8 pixels high, below --min-face 15',
                                                       '33 pixels high, above --max-face 30']


@pytest.mark.parametrize(('scale', 'largest', 'advice'), [
    (8, 16.8, '; use one for x4 or x2'), (4, 33.6, '; use one for x2'), (2, 67.2, '')])
def test_a_face_that_a_network_would_shrink_by_more_than_a_twentieth_is_skipped_and_told_what_takes_it(
        scale: int, largest: float, advice: str) -> None:
    """Whatever --max-face allows, since another value of it would not help."""
    faces = at(largest - 0.1, 2, 5), at(largest + 0.1, 45, 15)
    result = enhance_photo(PHOTO, network, scale, PhotoSettings(max_face=largest), detector_of(*faces))
    assert [face.sr is not None for face in result.faces] == [True, False]
    assert result.faces[1].skipped == (f'{largest + 0.1:g} pixels high, larger than the {largest:g} that a network for '
                                       f'x{scale} takes{advice}')


def test_only_networks_that_would_take_a_face_are_advised_and_none_where_none_does() -> None:
    found = enhance_photo(PHOTO, network, 8, None, detector_of(at(40, 2, 5), at(75, 45, 10))).faces
    assert [face.skipped.partition('takes')[2] for face in found] == ['; use one for x2', '']


def test_a_photograph_without_faces_is_unchanged() -> None:
    nothing = lambda picture, sure: np.zeros((0, 15), np.float32)  # noqa: E731
    result = enhance_photo(PHOTO, network, 4, None, nothing)
    assert (result.image == PHOTO).all() and result.faces == ()


def test_an_enlarged_photograph_has_its_faces_in_their_places() -> None:
    result = enhance_photo(PHOTO, network, 4, PhotoSettings(keep_colours=False, upscale=3), detector_of(at(20, 10, 10)))
    assert result.image.shape == (270, 360, 3)
    plain = enhance_photo(PHOTO, network, 4, PhotoSettings(upscale=3), lambda *any: np.zeros((0, 15), np.float32)).image
    difference = result.image.astype(int) - plain
    assert 35 < difference[55:65, 55:65].mean() < 65
    assert (difference[100:] == 0).all() and (difference[:, 100:] == 0).all()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    deep = PHOTO.astype(np.uint16) * 257
    result = enhance_photo(deep, network, 4, PLAIN, detector_of(at(20, 10, 10)))
    eight = enhance_photo(PHOTO, network, 4, PLAIN, detector_of(at(20, 10, 10)))
    assert result.image.dtype == np.uint16
    assert np.abs(result.image / 257 - eight.image).max() <= 0.51
    assert (result.image[40:] == deep[40:]).all()


def test_faces_are_looked_for_in_the_copies_that_are_asked_for() -> None:
    sizes = []

    def detect(picture: np.ndarray, sure: float) -> np.ndarray:
        sizes.append(picture.shape[:2])
        return np.zeros((0, 15), np.float32)
    for scales in (None, (3,), (0.5, 2)):
        enhance_photo(PHOTO, network, 4, PhotoSettings(detect_scales=scales), detect)
    assert sizes == [(90, 120), (180, 240), (360, 480), (270, 360), (45, 60), (180, 240)]
    for scales in ((), (1, 0), (9,), (1.5,), (float('nan'),)):
        with pytest.raises(UserError, match='--detect-scale: expected whole numbers up to 8 or shares'):
            PhotoSettings(detect_scales=scales)


def test_heights_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(UserError, match=r'expected 0 < --min-face <= --max-face, got 50 and 40'):
        PhotoSettings(min_face=50, max_face=40)


def test_faces_of_several_photographs_go_through_the_network_together_and_come_back_in_order() -> None:
    """Each photograph is what it is by itself; 0, 1 and 3 faces, and the network sees no more than two at a time."""
    faces = {0: [], 1: [at(20, 10, 10)], 2: [at(14, 5, 5), at(20, 40, 40), at(18, 80, 20)], 3: [at(16, 50, 10)]}
    photos = [np.roll(PHOTO, number, 1) for number in faces]
    seen: list[int] = []

    def detect(picture: np.ndarray, sure: float) -> np.ndarray:
        number = next((number for number, photo in enumerate(photos) if np.array_equal(photo, picture)), 0)
        return np.array(faces[number], np.float32).reshape(-1, 15)

    def counted(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return network(images)

    settings = PhotoSettings(batch_size=2)
    together = list(enhance_photos(enumerate(photos), {4: counted}, settings, detect))
    assert [key for key, _ in together] == [0, 1, 2, 3]
    assert seen == [2, 2, 1]  # photographs 0 to 2 are a group; the last one is another
    for photo, (_, enhanced) in zip(photos, together, strict=True):
        single = enhance_photo(photo, network, 4, settings, detect)
        assert (enhanced.image == single.image).all()
        assert all((a.sr == b.sr).all() for a, b in zip(enhanced.faces, single.faces, strict=True))


def test_a_real_network_gives_the_same_faces_in_a_batch_to_within_one_grey_level() -> None:
    network = SRResNet(num_feat=8, num_block=2, scale=4).eval()
    photos = [np.roll(PHOTO, number, 1) for number in range(5)]
    detect = detector_of(at(20, 10, 10), at(22, 70, 40))
    together = enhance_photos(enumerate(photos), {4: network}, PLAIN, detect)
    for photo, (_, enhanced) in zip(photos, together, strict=True):
        single = enhance_photo(photo, network, 4, PLAIN, detect)
        assert np.abs(enhanced.image.astype(int) - single.image).max() <= 1


def test_no_more_photographs_are_taken_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('cface_basicsr.enhancing.photo._WAITING', 3 * PHOTO.nbytes)
    taken: list[int] = []

    def photos() -> Iterator[tuple[int, np.ndarray]]:
        for number in range(8):
            taken.append(number)
            yield number, PHOTO

    done = enhance_photos(photos(), {4: network}, None, lambda *any: np.zeros((0, 15), np.float32))
    assert [(key, len(taken)) for key, _ in done] == [(0, 3), (1, 3), (2, 3), (3, 6), (4, 6), (5, 6), (6, 8), (7, 8)]


def test_each_face_is_given_to_the_smallest_input_that_does_not_shrink_it_or_hardly() -> None:
    seen: dict[int, int] = {}

    def of(scale: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def run(images: torch.Tensor) -> torch.Tensor:
            seen[scale] = len(images)
            assert images.shape[-1] == 128 // scale
            return network(images)
        return run

    detect = detector_of(at(16, 5, 5), at(17, 5, 60), at(33, 28, 5), at(50, 68, 38))
    ((_, result),) = enhance_photos([('it', PHOTO)], {4: of(4), 8: of(8)}, None, detect)
    assert seen == {8: 1, 4: 2}
    assert sorted((face.found.box[3] - face.found.box[1], face.scale) for face in result.faces) == [
        (16, 8), (17, 4), (33, 4), (50, 0)]
    (skipped,) = [face.skipped for face in result.faces if face.skipped]
    assert skipped == '50 pixels high, larger than the 33.6 that a network for x4 takes; use one for x2'


def blurred_dots(landmarks: np.ndarray) -> np.ndarray:
    """uint8 (90, 120, 3): a bright dot at each of some points (N, 2) in front of black."""
    rows, columns = np.mgrid[:90, :120]
    bright = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for x, y in landmarks]
    return np.repeat(np.clip(250 * np.max(bright, axis=0), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize('template', ['arcface', 'dlib', 'center'])
def test_a_face_is_aligned_to_the_template_that_its_network_was_trained_on(template: str) -> None:
    """What is bright in the photograph is bright where this template has its landmarks, and comes back from there."""
    face, given = at(56, 30, 20), []
    photo = blurred_dots(face[5:].reshape(5, 2))

    def seeing(images: torch.Tensor) -> torch.Tensor:
        given.append(images[0, 0].numpy())
        return network(images)
    settings = PhotoSettings(keep_colours=False, templates={2: template})
    result = enhance_photo(photo, seeing, 2, settings, detector_of(face))
    for x, y in face_points(template, 64):
        around = given[0][max(round(y) - 2, 0):round(y) + 3, max(round(x) - 2, 0):round(x) + 3]
        assert around.max() > 0.8
    brighter = np.argwhere((result.image.astype(int) - photo)[..., 0] > 40)[:, ::-1]
    square = np.array([[-0.5, -0.5], [127.5, 127.5]])
    there = similarity_transform(face_points(template, 128), face[5:].reshape(5, 2))
    (left, top), (right, bottom) = square @ there[:, :2].T + there[:, 2]
    assert (brighter >= [left, top]).all() and (brighter <= [right, bottom]).all() and len(brighter) > 300
    assert brighter.mean(0) == pytest.approx([(left + right) / 2, top + 0.52 * (bottom - top)], abs=2)


def test_which_network_takes_a_face_depends_on_the_square_of_its_template() -> None:
    """dlib's chip of a face is smaller than ArcFace's by 11 %: 18.5 pixels are 16.5 there."""
    detect = detector_of(at(18.5, 10, 10))
    for templates, scale in (({}, 4), ({8: 'dlib'}, 8), ({4: 'dlib'}, 4)):
        ((_, result),) = enhance_photos([('it', PHOTO)], {4: network, 8: network},
                                        PhotoSettings(templates=templates), detect)
        assert result.faces[0].scale == scale
    (face,) = enhance_photo(PHOTO, network, 8, PhotoSettings(templates={8: 'dlib'}), detector_of(at(19, 5, 5))).faces
    assert face.skipped == '19 pixels high, larger than the 18.9 that a network for x8 takes; use one for x4 or x2'


def test_a_judge_sees_faces_where_it_expects_them_whatever_the_network_was_trained_on() -> None:
    seen = {}

    class Looking:
        def look(self, sr: np.ndarray, bicubic: np.ndarray, scale: int, heights: list[float]) -> list[None]:
            seen[template] = bicubic.astype(int), heights
            return [None] * len(sr)
    face = at(30, 30, 20)
    smooth = cv2.resize(np.random.default_rng(2).integers(0, 256, (9, 12, 3)).astype(np.uint8), (120, 90))
    for template in ('arcface', 'dlib'):
        enhance_photo(smooth, network, 4, PhotoSettings(judge=Looking(), templates={4: template}), detector_of(face))
    (usual, heights), (other, same) = seen['arcface'], seen['dlib']
    assert same == heights == pytest.approx([30])
    apart, misplaced = (np.abs(each - other)[:, 40:110, 20:110].mean() for each in (usual, np.roll(usual, 9, 1)))
    assert apart < 4 and misplaced > 4 * apart  # dlib's chip has all of this


def test_a_network_that_gives_nan_is_told_with_the_face_and_the_photograph() -> None:
    with pytest.raises(UserError, match=r"gives NaN or infinity for the face at \(10, 12\) of 'party.jpg'"):
        list(enhance_photos([("'party.jpg'", PHOTO)], {4: lambda images: network(images) * np.nan}, None,
                            detector_of(at(20, 10, 12))))


def test_half_precision_is_near_single_precision_and_says_what_it_cannot_hold() -> None:
    single = SRResNet(num_feat=8, num_block=2, scale=8).eval()
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        expected = single(images)
        half = HalfPrecision(copy.deepcopy(single))
        found = half(images)
        assert found.dtype == torch.float32 and 0 < (found - expected).abs().max() < 0.01
        with pytest.raises(UserError, match='SRResNet leaves the range of float16. Leave --half out.'):
            half(images * 1e5)


def test_what_became_of_a_photograph_and_of_a_face_prints_without_pixels() -> None:
    photo = enhance_photo(PHOTO, network, 4, PLAIN, detector_of(at(20, 10, 10)))
    assert photo.faces[0].sr is not None
    for shown in (photo, photo.faces[0]):
        assert 'scale=4' in repr(shown) and 'uint8' not in repr(shown)
