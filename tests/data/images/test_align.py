"""Alignment to the template: against scikit-image, by hand, and on real photographs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.transform import SimilarityTransform

from cface_basicsr.data.generated_faces.render import render_photo
from cface_basicsr.data.images.align import (
    ALIGNMENTS,
    Aligner,
    box_corners,
    find_detector,
    frame_corners,
    load_detector,
    main_face,
    similarity_transform,
    template_points,
    warp_face,
)
from cface_basicsr.data.images.face_crop import Rejected, decode_photo
from cface_basicsr.errors import UserError
from cface_basicsr.files.safetensors_file import write_safetensors

SHARED = Path(__file__).parents[4] / 'shared'


def test_the_transform_equals_scikit_images() -> None:
    generator = np.random.default_rng(0)
    for _ in range(5):
        source, target = generator.normal(size=(2, 5, 2)) * 30 + 60
        transform = SimilarityTransform()
        assert transform.estimate(source, target)  # scikit-image for Python 3.10 has no from_estimate
        expected = transform.params[:2]
        assert np.allclose(similarity_transform(source, target), expected)


def test_a_known_rotation_scale_and_translation_are_found() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    turned = np.array([[5, 7], [5, 9], [3, 9], [3, 7]])  # a quarter turn, twice as large, moved by (5, 7)
    assert np.allclose(similarity_transform(square, turned), [[0, -2, 5], [2, 0, 7]])


def test_the_template_is_the_published_one_at_its_own_size() -> None:
    """Eyes of InsightFace's 112x112 template: (38.2946, 51.6963) and (73.5318, 51.5014)."""
    assert np.allclose(template_points('arcface', 112)[:2], [[38.2946, 51.6963], [73.5318, 51.5014]])


def test_resizing_the_face_to_the_recognizers_input_keeps_the_landmarks_on_the_template() -> None:
    for size in (128, 112, 224):
        back = (template_points('arcface', size) + 0.5) * 112 / size - 0.5
        assert np.allclose(back, ALIGNMENTS['arcface'][0])


def test_both_templates_give_the_same_square() -> None:
    assert np.allclose(template_points('sphereface', 128), template_points('arcface', 128))


def test_a_face_of_112x96_is_the_published_template_of_sphereface() -> None:
    published = [[30.2946, 51.6963], [65.5318, 51.5014], [48.0252, 71.7366], [33.5493, 92.3655], [62.7299, 92.2041]]
    assert np.allclose(template_points('sphereface', (112, 96)), published)
    assert np.allclose(template_points('arcface', (112, 96)), published)  # eight fewer columns on either side
    assert np.allclose(template_points('sphereface', (112, 112)), template_points('arcface', 112))
    assert np.allclose((template_points('sphereface', (224, 192)) + 0.5) / 2 - 0.5, published)


def test_a_box_is_widened_about_its_centre_to_the_aspect_ratio_of_the_face() -> None:
    """A box of 60x40 pixels at (10, 20): its centre lies between columns 39 and 40 and between rows 39 and 40."""
    assert box_corners((10, 20, 60, 40), 128).tolist() == [[9.5, 9.5], [69.5, 9.5], [69.5, 69.5], [9.5, 69.5]]
    assert box_corners((10, 20, 60, 40), (40, 20))[0].tolist() == [9.5, -20.5]  # 60 wide, so 120 high
    assert np.array_equal(box_corners((0, 0, 96, 112), (112, 96)), frame_corners((112, 96)))


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'arcface'"):
        template_points('arcfase', 128)


@pytest.mark.parametrize('scale', [0.3, 0.6, 1.0, 2.0])
def test_five_dots_land_on_the_template(scale: float) -> None:
    """Dots drawn at the landmarks of a rotated face are found where the template has them."""
    target = template_points('arcface', 128)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]) / scale
    landmarks = (target - 64) @ turn.T + 64 / scale + 40
    photo = np.zeros((round(160 / scale) + 80,) * 2 + (3,), np.uint8)
    for x, y in landmarks:
        cv2.circle(photo, (round(x * 16), round(y * 16)), round(4 / scale * 16), (255, 255, 255), -1, cv2.LINE_AA, 4)
    face = warp_face(photo, landmarks, target, 128)[:, :, 0].astype(float)
    for x, y in target:
        patch = face[round(y) - 6:round(y) + 7, round(x) - 6:round(x) + 7]
        rows, columns = np.mgrid[-6:7, -6:7]
        assert abs((patch * columns).sum() / patch.sum() + round(x) - x) < 0.25
        assert abs((patch * rows).sum() / patch.sum() + round(y) - y) < 0.25


def face(left: float, top: float, size: float, mark: float) -> list[float]:
    return [left, top, left + size, top + size, 0.9] + [mark] * 10


def test_the_main_face_is_large_and_near_the_middle() -> None:
    middle, bystander, small = face(75, 75, 100, 1), face(0, 0, 110, 2), face(110, 110, 30, 3)
    assert main_face(np.array([bystander, small, middle]), 250, 250)[0, 0] == 1
    assert main_face(np.array([small, bystander]), 250, 250)[0, 0] == 3
    with pytest.raises(Rejected, match='no face found'):
        main_face(np.zeros((0, 15)), 250, 250)


def test_a_folder_without_a_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='detection_mobilenet0.25_Final.pth'):
        find_detector(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / 'weights').is_dir(), reason='needs ../shared with the detector and photographs')
def test_real_photos_are_aligned_and_a_blank_one_is_rejected() -> None:
    """A second detection, in the aligned face, finds the landmarks on the template."""
    aligner = Aligner(find_detector(SHARED / 'weights'), 'arcface', 128)
    for path in sorted((SHARED / 'data' / 'casia_like').glob('*/001.jpg'))[:3]:
        aligned = aligner(decode_photo(path.read_bytes()))
        again = main_face(aligner.detect(aligned), 128, 128)
        assert aligned.shape == (128, 128, 3)
        assert np.abs(again - template_points('arcface', 128)).mean() < 4
    with pytest.raises(Rejected, match='no face found'):
        aligner(np.full((250, 250, 3), 128, np.uint8))


def test_the_shipped_detector_aligns_without_any_file_from_elsewhere() -> None:
    """Drawn faces, aligned; a second detection finds the landmarks on the template."""
    aligner = Aligner(find_detector(None), 'arcface', 128)
    for seed in range(3):
        photo = render_photo(seed, 0)
        again = main_face(aligner.detect(aligner(photo)), 128, 128)
        assert np.abs(again - template_points('arcface', 128)).mean() < 4


@pytest.mark.skipif(not (SHARED / 'weights').is_dir(), reason='needs ../shared with the detector and photographs')
def test_the_shipped_detector_is_facexlibs_mobilenet() -> None:
    photo = decode_photo((SHARED / 'data' / 'casia_like' / '0000001' / '001.jpg').read_bytes())
    ours, theirs = (Aligner(find_detector(folder), 'arcface', 128).detect(photo)
                    for folder in (None, SHARED / 'weights'))
    assert len(ours) and (ours == theirs).all()


def test_a_detector_is_read_once_and_other_weights_are_refused_in_either_format(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load_detector(find_detector(None)).state_dict()
    file = tmp_path / 'detection_mobilenet0.25_Final.pth'
    torch.save({f'module.{name}': value for name, value in shipped.items()}, file)
    read, load = [], torch.serialization.load
    for module in (torch, torch.serialization):
        monkeypatch.setattr(module, 'load', lambda *given, **more: (read.append(given[0]), load(*given, **more))[1])
    loaded = load_detector(file).state_dict()
    assert read == [file] and all((loaded[name] == value).all() for name, value in shipped.items())
    write_safetensors(tmp_path / 'other.safetensors', {'weight': torch.zeros(1)}, {})
    with pytest.raises(UserError, match="other.safetensors' does not hold the weights of retinaface_mobile0.25"):
        load_detector(tmp_path / 'other.safetensors')


@pytest.mark.skipif(not (SHARED / 'weights').is_dir(), reason='needs ../shared with the detector and photographs')
@pytest.mark.parametrize('name', ['detection_mobilenet0.25_Final.pth', 'detection_Resnet50_Final.pth'])
def test_a_damaged_or_replaced_detector_is_refused_in_words(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    whole = (SHARED / 'weights' / 'detection_mobilenet0.25_Final.pth').read_bytes()
    for content, message in ((b'<!DOCTYPE html>', 'cannot be read'), (whole[:-1000], 'cannot be read')):
        file.write_bytes(content)
        with pytest.raises(UserError, match=message):
            load_detector(find_detector(tmp_path))
    torch.save({'weight': torch.zeros(1)}, file)
    with pytest.raises(UserError, match='does not hold the weights of retinaface'):
        load_detector(find_detector(tmp_path))
