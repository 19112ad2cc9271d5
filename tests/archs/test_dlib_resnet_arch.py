"""dlib's face network, against the same network written out and against faces whose people are known."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cface_basicsr.archs.dlib_resnet_arch import DlibResNet
from cface_basicsr.data.images.align import Aligner, similarity_transform
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.features import cosine_scores, extract_features
from cface_basicsr.files.recognizer_file import recognizer_hash
from cface_basicsr.ops.recognizer_input import recognizer_features, to_recognizer
from cface_basicsr.recognizers.load import load_recognizer, recognizer_content, recognizer_facts
from tests.references.literal_dlib_resnet import forward, read_safetensors

SHARED = Path(__file__).parents[3] / 'shared'
WEIGHTS = SHARED / 'weights/dlib_resnet_v1.safetensors'
PHOTOS = SHARED / 'data/casia_like'
# Corners of the eyes and the base of the nose: on the average of many faces aligned to ArcFace's template, and dlib's.
ALIGNED = np.array([(80, 53), (66, 53), (31, 53), (45, 53), (56, 80)])
CHIP = (0.25 + np.array([
    (0.8595674595992, 0.2134981538014), (0.6460604764104, 0.2289674387677), (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242), (0.4901123135679, 0.6277975316475)])) / 1.5 * 150


def test_the_network_has_the_parameters_that_its_layers_add_up_to() -> None:
    def conv(before: int, after: int, side: int = 3) -> int:
        return before * after * side ** 2 + 3 * after  # a bias, a factor and a shift for each channel
    widths = [(32, 32)] * 3 + [(32, 64)] + [(64, 64)] * 3 + [(64, 128)] + [(128, 128)] * 2 + [(128, 256)] \
        + [(256, 256)] * 3
    expected = conv(3, 32, 7) + sum(conv(a, b) + conv(b, b) for a, b in widths) + 256 * 128
    network = DlibResNet()
    assert sum(each.numel() for each in network.parameters()) == expected == 5_614_592
    assert network(torch.rand(2, 3, 150, 150)).shape == (2, network.feature_length)


@pytest.mark.skipif(not WEIGHTS.is_file(), reason='needs the original weights in ../shared')
def test_its_features_are_those_of_the_original_weights_in_the_network_written_out() -> None:
    torch.manual_seed(0)
    network, faces = load_recognizer('dlib'), torch.rand(2, 3, 150, 150) * 255
    weights = read_safetensors(WEIGHTS)
    mean = torch.tensor(network.input_spec.mean).view(3, 1, 1)
    with torch.no_grad():
        ours = network((faces - mean) / network.input_spec.std)
        theirs = torch.cat([forward(weights, face[None]) for face in faces])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_chip_of_an_aligned_face_is_what_opencv_cuts_out_but_for_a_third_of_a_degree() -> None:
    y, x = np.mgrid[:112, :112] / 112
    face = np.stack([x, y, 0.5 + 0.4 * np.sin(6 * x) * np.cos(5 * y)], axis=-1).astype(np.float32)
    network = DlibResNet()
    fed = to_recognizer(torch.from_numpy(face).permute(2, 0, 1)[None], network.input_spec)[0]
    chip = (fed * 256 + torch.tensor(network.input_spec.mean).view(3, 1, 1)) / 255
    expected = cv2.warpAffine(face, similarity_transform(ALIGNED, CHIP), (150, 150), flags=cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REFLECT_101)
    assert np.abs(chip.permute(1, 2, 0).numpy() - expected).max() < 0.01  # half a pixel here is a 224th


@pytest.mark.parametrize('size', [(56, 56), (128, 128), (336, 336), (112, 140)])
def test_the_chip_shows_the_same_part_of_a_face_of_any_size(size: tuple[int, int]) -> None:
    def chip(height: int, width: int) -> torch.Tensor:
        y = (torch.arange(height) + 0.5) / height
        x = 0.5 + (torch.arange(width) + 0.5 - width / 2) / height
        face = torch.stack([each.expand(height, width) for each in (x, y[:, None], torch.tensor(0.5))])
        return to_recognizer(face[None], network.input_spec)
    network = DlibResNet()
    torch.testing.assert_close(chip(*size), chip(112, 112), rtol=0, atol=0.01)


def test_the_gradient_reaches_every_pixel_of_the_chip_so_it_can_lead_a_loss() -> None:
    face = torch.rand(1, 3, 128, 128, requires_grad=True)
    recognizer_features(load_recognizer('dlib'), face).square().sum().backward()
    assert (face.grad[0, :, 26:126, 10:118].abs().sum(0) > 0).all()
    assert face.grad[0, :, :20].abs().max() == 0  # above the chip


def test_it_is_loaded_by_its_name_with_its_weights_and_is_traceable(tmp_path: Path) -> None:
    network = load_recognizer('dlib')
    assert torch.equal(DlibResNet(file='dlib').fc.weight, network.fc.weight) and not network.training
    assert recognizer_facts('dlib', network)['sha256'] == recognizer_hash('dlib', 64)
    assert len(recognizer_content('dlib', network)) == 64
    with pytest.raises(UserError, match='built for 150x150 images'):
        network(torch.rand(1, 3, 112, 112))


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason='needs the photographs in ../shared')
def test_it_tells_the_people_of_real_photographs_apart() -> None:
    detector = SHARED / 'weights/detection_mobilenet0.25_Final.pth'
    align, faces, people = Aligner(detector, 'arcface', 112), [], []
    for folder in sorted(PHOTOS.iterdir())[:30]:
        for file in sorted(folder.glob('*.jpg'))[:3]:
            try:
                faces.append(align(cv2.imread(str(file))[..., ::-1]))
                people.append(folder.name)
            except Rejected:
                continue
    features = extract_features(load_recognizer('dlib'), np.stack(faces))
    pairs = np.array([(a, b) for a in range(len(faces)) for b in range(a)])
    scores = cosine_scores(features, pairs)
    same = np.array([people[a] == people[b] for a, b in pairs])
    best = max((((scores[same] > cut).mean() + (scores[~same] <= cut).mean()) / 2, cut)
               for cut in np.linspace(0.8, 0.98, 60))
    assert best[0] > 0.95
