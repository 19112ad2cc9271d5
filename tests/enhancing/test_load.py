import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import cface_basicsr as cface
from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.data.images.align import template_points
from cface_basicsr.data.images.low_resolution import low_resolution
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import extract_features
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.network_file import save_atomically
from cface_basicsr.files.recognizer_file import recognizer_hash
from tests.small_data import smooth_images
from tests.zoo.made_up_networks import write_generator


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    options = {'num_feat': 4, 'num_block': 1, 'scale': 8}
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('network') / 'net_g.pth'
    save_atomically({'params': SRResNet(**options).state_dict(), 'network': {'type': 'SRResNet', **options}}, path)
    return path


FACES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


def test_a_kind_of_faces_comes_back_as_the_same_kind_with_the_same_values(file):
    resolver = cface.load(file)
    assert resolver.scale == 8 and repr(resolver) == f"SuperResolver(x8, SRResNet, '{file}')"
    expected = super_resolve(resolver.network, FACES)
    assert (resolver.enhance(FACES, batch_size=2) == expected).all()
    as_list = resolver.enhance(list(FACES))
    assert isinstance(as_list, list) and (np.stack(as_list) == expected).all()
    tensor = resolver.enhance(torch.from_numpy(FACES).permute(0, 3, 1, 2).float() / 255)
    assert tensor.dtype == torch.float32 and tensor.shape == (5, 3, 128, 128)
    assert resolver.enhance(torch.zeros(1, 3, 16, 16).double()).dtype == torch.float64
    array = resolver.enhance(np.ascontiguousarray(FACES.transpose(0, 3, 1, 2), np.float32) / 255)
    assert isinstance(array, np.ndarray) and array.dtype == np.float32 and np.array_equal(array, tensor.numpy())
    assert ((tensor * 255).round().permute(0, 2, 3, 1).numpy() == expected).all()
    assert resolver.enhance([]) == []


def test_crops_of_a_list_may_have_other_sizes(file):
    crops = [np.full((20, 16, 3), 90, np.uint8), np.full((12, 12, 3), 90, np.uint8)]
    assert [face.shape for face in cface.load(file).enhance(crops)] == [(128, 128, 3)] * 2


def test_a_photograph_keeps_all_that_is_no_face(file):
    photo = np.random.default_rng(1).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    result = cface.load(file).enhance_photo(photo, detect=lambda *any: np.zeros((0, 15), np.float32))
    assert (result.image == photo).all() and result.faces == ()


@pytest.mark.parametrize(('images', 'message'), [
    (FACES[0], r'expected faces as uint8 \(B, h, w, 3\) RGB, got \(16, 16, 3\) of uint8'),
    (FACES.astype(np.float32), r'got \(5, 16, 16, 3\) of float32'),
    ([FACES], r'expected faces as uint8 \(H, W, 3\) RGB, got \(5, 16, 16, 3\) of uint8'),
    (['face.png'], r'got str'),
    ([np.zeros((64, 64, 3), np.uint8)], r'64x64 pixels: this network takes faces up to 16x16 .*; use a network for x2'),
    (torch.zeros(3, 16, 16), r'expected faces as \(B, 3, h, w\) floating point in \[0, 1\], got \(3, 16, 16\)'),
    (torch.full((1, 3, 16, 16), 255.0), r'got values from 255 to 255. Divide 8-bit values by 255'),
    (torch.full((1, 3, 16, 16), torch.nan), r'expected faces in \[0, 1\], got values from nan')])
def test_other_shapes_types_and_ranges_get_a_sentence(file, images, message):
    with pytest.raises(UserError, match=message):
        cface.load(file).enhance(images)


def test_a_choice_by_height_is_no_network_and_its_name_is_explained():
    with pytest.raises(UserError, match="'auto' is several networks, and one is loaded here. Name the one that fits"):
        cface.load('auto')


def test_no_photograph_is_refused(file):
    with pytest.raises(UserError, match=r'expected a photograph as uint8 or uint16 \(H, W, 3\) RGB, got \(5, 16,'):
        cface.load(file).enhance_photo(FACES)


def test_a_face_of_a_photograph_says_where_it_is_and_with_a_photo_of_the_person_how_similar_it_is(file, tmp_path):
    """The similarity is the cosine of what dlib's recognizer sees in the two faces; the verdict has both cosines."""
    person, photo = smooth_images(1, seed=3)[0], np.full((90, 120, 3), 127, np.uint8)
    photo[40:56, 30:46] = low_resolution(person[None], 8)[0]
    (tmp_path / 'ann').mkdir()
    Image.fromarray(person).save(tmp_path / 'ann' / '1.png')

    def detect(picture, sure):
        side, place = (128, (0, 0)) if picture.shape[:2] == (128, 128) else (16, (30, 40))
        points = template_points('arcface', 128) * side / 128 + place
        row = np.concatenate([place, np.add(place, side), [0.99], points.ravel()]).astype(np.float32)
        return row[None] if picture.shape[:2] in ((90, 120), (128, 128)) else np.zeros((0, 15), np.float32)
    resolver = cface.load(file)
    (plain,) = resolver.enhance_photo(photo, detect=detect).faces
    assert plain.box.tolist() == [30, 40, 46, 56] and plain.height == 16 and plain.landmarks.shape == (5, 2)
    assert (plain.similarity, plain.verdict) == (None, '')
    for reference in ([tmp_path / 'ann' / '1.png'], tmp_path / 'ann'):
        (face,) = resolver.enhance_photo(photo, detect=detect, reference=reference).faces
        seen = extract_features(cface.recognizer('dlib'), np.stack([face.sr, face.bicubic, person]))
        assert face.similarity == pytest.approx(float(seen[0] @ seen[2]), abs=1e-5)
        assert all(f'{float(seen[row] @ seen[2]):.3f}' in face.verdict for row in (0, 1))
        assert "FAR unknown: the network's card has no impostor scores for faces of 16 pixels" in face.verdict


def test_dlib_is_no_judge_in_python_either_of_a_network_that_it_has_led(tmp_path):
    led = cface.load(write_generator(tmp_path / 'led.pth', led_by=[recognizer_hash('dlib', 64)]))
    with pytest.raises(UserError, match="dlib's recognizer led a loss of '.*led.pth', so it is not a judge"):
        led.enhance_photo(np.zeros((90, 120, 3), np.uint8), reference=['ann.png'])


def test_a_photograph_is_aligned_as_the_file_says_and_where_it_says_nothing_one_line_warns(file, tmp_path):
    photo = np.random.default_rng(1).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    points = template_points('arcface', 128) * 16 / 128 + [20, 20]
    row = np.concatenate([[20, 20, 36, 36, 0.99], points.ravel()]).astype(np.float32)

    def detect(picture, sure):
        return row[None] if picture.shape[:2] == (50, 60) else np.zeros((0, 15), np.float32)

    def given(path, settings=None):
        return cface.load(path).enhance_photo(photo, settings, detect).faces[0].lr
    with pytest.warns(UserWarning, match="aligned to ArcFace's template. PhotoSettings.templates={8:") as told:
        unknown = given(file)
    assert len(told) == 1
    told_in_the_file = write_generator(tmp_path / 'dlib.pth', template='dlib')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        as_arcface, as_dlib = (given(file, cface.PhotoSettings(templates={8: each})) for each in ('arcface', 'dlib'))
        by_file = given(told_in_the_file)
        cface.load(file).enhance(FACES)
        cface.load(file).enhance_photo(photo, None, lambda *any: np.zeros((0, 15), np.float32))
    assert (unknown == as_arcface).all() and (by_file == as_dlib).all() and (as_dlib != as_arcface).any()


@pytest.mark.parametrize('kind', [list, np.stack,
                                  lambda faces: torch.tensor(np.stack(faces)).permute(0, 3, 1, 2) / 255])
def test_a_network_that_gives_nan_is_told_with_the_number_of_the_face_for_every_kind_of_input(kind):
    class Diverged(torch.nn.Module):
        def forward(self, x):
            return torch.where(x.mean((1, 2, 3), keepdim=True) > 0.9, torch.nan, x)
    faces = [np.full((16, 16, 3), grey, np.uint8) for grey in (10, 20, 30, 255, 40)]
    with pytest.raises(UserError, match='Diverged gives NaN or infinity for image 3. Its training has diverged'):
        cface.SuperResolver(Diverged(), 8).enhance(kind(faces), batch_size=2)
