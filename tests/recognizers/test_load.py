"""Recognizers from every kind of file, fed as each expects; and a warning if faces were cropped differently."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from facexlib.recognition.arcface_arch import Backbone
from PIL import Image
from torch import Tensor, nn

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import save_atomically
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features, unit
from cface_basicsr.recognizers.load import (
    crop_note,
    load_recognizer,
    published_recognizer,
    recognizer_content,
    recognizer_facts,
)
from tests.caffe_file import write_caffemodel
from tests.onnx_file import write_onnx_recognizer
from tests.references.published_sphereface20 import layer_outputs, made_up_weights

SPHEREFACE = RecognizerInput(112, 96, 'bgr', 127.5, 128.0, 'sphereface')


def fed_as_opencv_reads(faces: Tensor, std: float) -> Tensor:
    """RGB in [0, 1] to what cv2.imread, (v - 127.5) / std and a transpose give, without a word of `input_spec`."""
    return (faces * 255)[:, [2, 1, 0]].sub(127.5).div(std)


@pytest.fixture(scope='module')
def centred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder made with --crop center."""
    folder = tmp_path_factory.mktemp('centred')
    (folder / 'photos/0000001').mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (140, 140, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'photos/0000001/001.png')
    prepare(folder / 'photos', folder / 'data', PrepareSettings(scales=(8,)))
    return folder / 'data'


@pytest.mark.parametrize(('template', 'fits'), [('center', True), ('arcface', False), ('sphereface', False)])
def test_another_crop_than_the_recognizers_is_named(centred: Path, template: str, fits: bool) -> None:
    network = SphereFace20(input_size=(128, 128), num_feat=2, feature_length=4, template=template)
    note = crop_note(centred, 'CNN_R', network)
    assert (note is None) == fits
    assert fits or ('--crop center' in note and f"CNN_R was trained on '{template}'" in note)


def test_without_a_manifest_nothing_is_said(tmp_path: Path) -> None:
    assert crop_note(tmp_path, 'CNN_R', SphereFace20(num_feat=2, feature_length=4, template='arcface')) is None


@pytest.mark.parametrize('crop', ['align', 'center', 'box', 'resize', 'none', None])
@pytest.mark.parametrize('template', ['center', 'arcface', 'sphereface'])
def test_boxes_and_whole_images_fit_no_recognizer_and_an_unknown_crop_is_not_mentioned(
        tmp_path: Path, crop: str | None, template: str) -> None:
    (tmp_path / 'manifest.json').write_text(json.dumps({'settings': {'crop': crop, 'size': 128}}))
    network = SphereFace20(input_size=(16, 16), num_feat=1, feature_length=4, template=template)
    poor = crop in ('box', 'resize') or (crop in ('align', 'center') and (crop == 'align') == (template == 'center'))
    assert (crop_note(tmp_path, 'CNN_R', network) is not None) == poor


@pytest.mark.parametrize(('faces', 'takes', 'fits'), [([112, 96], (112, 96), True), ([112, 96], (112, 112), False),
                                                      ([112, 112], (112, 96), True), ([128, 128], (112, 112), True)])
def test_faces_too_narrow_for_a_recognizer_are_named(tmp_path: Path, faces: list[int], takes: tuple[int, int],
                                                     fits: bool) -> None:
    (tmp_path / 'manifest.json').write_text(json.dumps({'settings': {'crop': 'align', 'size': faces}}))
    network = SphereFace20(input_size=takes, num_feat=1, feature_length=4, template='arcface')
    note = crop_note(tmp_path, 'R', network)
    assert (note is None) == fits
    assert fits or 'the faces are 112x96, R takes wider ones (112x112)' in note


def test_a_file_of_ours_says_what_it_holds(tmp_path: Path) -> None:
    options = {'input_size': [20, 18], 'num_feat': 2, 'feature_length': 5, 'channels': 'bgr'}
    network = SphereFace20(**options).eval()
    save_atomically({'params': network.state_dict(), 'network': {'type': 'SphereFace20', **options}},
                    tmp_path / 'net_r.pth')
    faces = torch.rand(2, 3, 20, 18)
    loaded = load_recognizer(str(tmp_path / 'net_r.pth'))
    torch.testing.assert_close(loaded(faces), network(faces))
    assert loaded.input_spec == network.input_spec and published_recognizer(tmp_path / 'net_r.pth') is None


def as_clcarwin(weights: dict[str, Tensor], path: Path) -> None:
    torch.save(weights, path, _use_new_zipfile_serialization=False)  # the form of 2017


def as_trained_on_two_gpus(weights: dict[str, Tensor], path: Path) -> None:
    torch.save({'epoch': 3, 'state_dict': {f'module.{name}': value for name, value in weights.items()}}, path)


def as_caffe(weights: dict[str, Tensor], path: Path) -> None:
    layers: dict[str, list[np.ndarray]] = {}
    for name, value in weights.items():
        layers.setdefault(name.split('.')[0], []).append(value.numpy())
    write_caffemodel(path, layers)


@pytest.mark.parametrize(('save', 'name'), [(as_clcarwin, 'sphere20a_20171020.pth'),
                                            (as_trained_on_two_gpus, 'checkpoint.tar'),
                                            (as_caffe, 'sphereface_model.caffemodel')])
def test_published_sphereface_weights_are_known_by_their_layers_and_fed_bgr(tmp_path: Path, save, name: str) -> None:
    weights = made_up_weights()
    save(weights, tmp_path / name)
    network = load_recognizer(tmp_path / name)
    assert network.input_spec == SPHEREFACE and network.feature_length == 6 and not network.training
    faces = torch.rand(2, 3, 112, 96)
    expected = layer_outputs(weights, fed_as_opencv_reads(faces, 128))['fc5']
    torch.testing.assert_close(recognizer_features(network, faces), expected, rtol=1e-4, atol=1e-4)


def test_a_settings_file_of_published_weights_changes_their_input(tmp_path: Path) -> None:
    torch.save(made_up_weights(), tmp_path / 'mine.pth')
    (tmp_path / 'mine.input.yml').write_text('channels: rgb\ntemplate: arcface')
    assert load_recognizer(tmp_path / 'mine.pth').input_spec == RecognizerInput(112, 96, 'rgb', 127.5, 128.0, 'arcface')
    (tmp_path / 'mine.input.yml').write_text('mean: 0')
    with pytest.raises(UserError, match="unknown key 'mean'"):
        load_recognizer(tmp_path / 'mine.pth')


def test_facexlibs_arcface_is_loaded_on_the_cpu_and_fed_bgr(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = Backbone(num_layers=50, drop_ratio=0.6, mode='ir_se').eval()
    torch.save(theirs.state_dict(), tmp_path / 'recognition_arcface_ir_se50.pth')
    network = load_recognizer(tmp_path / 'recognition_arcface_ir_se50.pth')
    assert network.input_spec == RecognizerInput(112, 112, 'bgr', 127.5, 127.5, 'arcface') and not network.training
    faces = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(unit(recognizer_features(network, faces)), theirs(fed_as_opencv_reads(faces, 127.5)))


def test_an_onnx_file_is_fed_as_its_settings_file_says(tmp_path: Path) -> None:
    path = write_onnx_recognizer(tmp_path / 'r.onnx', size=32, feature_length=7)
    faces = torch.rand(2, 3, 32, 32)
    as_assumed = recognizer_features(load_recognizer(path), faces)
    (tmp_path / 'r.input.yml').write_text('{channels: bgr, mean: 0, std: 255, template: center}')
    network = load_recognizer(path)
    assert network.input_spec == RecognizerInput(32, 32, 'bgr', 0, 255, 'center')
    torch.testing.assert_close(recognizer_features(network, faces), network(faces.flip(1)))
    assert not torch.allclose(recognizer_features(network, faces), as_assumed)


def test_a_python_name_is_a_recognizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'a_net_of_mine.py').write_text(
        'from cface_basicsr.archs.sphereface20_arch import SphereFace20\n'
        'def build():\n    return SphereFace20(input_size=(16, 16), num_feat=1, feature_length=3)\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"^recognizer 'a_net_of_mine:build' is missing\. Expected .*, or dlib\.$"):
        load_recognizer(Path('a_net_of_mine:build'))  # what a file names
    assert 'a_net_of_mine' not in sys.modules
    network = load_recognizer('a_net_of_mine:build')
    assert isinstance(network, nn.Module) and network.feature_length == 3
    facts = recognizer_facts('a_net_of_mine:build', network)
    assert facts['sha256'] == hashlib.sha256((tmp_path / 'a_net_of_mine.py').read_bytes()).hexdigest()


def test_the_facts_name_the_files_and_the_input(tmp_path: Path) -> None:
    path = write_onnx_recognizer(tmp_path / 'r.onnx', size=32, feature_length=7)
    (tmp_path / 'r.input.yml').write_text('channels: bgr')
    facts = recognizer_facts(path, load_recognizer(path))
    assert facts['file'] == str(path) and facts['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts['beside'] == {'r.input.yml': hashlib.sha256(b'channels: bgr').hexdigest()}
    assert facts['input_spec'] == {'height': 32, 'width': 32, 'channels': 'bgr', 'mean': 127.5, 'std': 128.0,
                             'template': 'arcface'}
    assert facts['feature_length'] == 7 and json.dumps(facts)


def test_the_content_of_a_recognizer_changes_with_each_of_its_files(tmp_path: Path) -> None:
    onnx = write_onnx_recognizer(tmp_path / 'r.onnx', size=32, feature_length=7)
    network = load_recognizer(onnx)
    tuned = tmp_path / 'tuned.pth'

    def save(shift: float) -> None:
        state = {name: value + shift for name, value in network.state_dict().items()}
        save_atomically({'params': state, 'network': {'type': 'OnnxRecognizer', 'file': str(onnx)}}, tuned)

    def contents() -> tuple[str, str]:
        return recognizer_content(onnx, load_recognizer(onnx)), recognizer_content(tuned, load_recognizer(tuned))
    save(0)
    seen = [contents(), contents()]
    assert seen[0] == seen[1]
    (tmp_path / 'r.input.yml').write_text('channels: bgr')
    seen.append(contents())
    write_onnx_recognizer(onnx, size=48, feature_length=7)
    seen.append(contents())
    assert len({each[0] for each in seen}) == len({each[1] for each in seen}) == 3
    save(1)
    assert contents()[0] == seen[-1][0] and contents()[1] != seen[-1][1]


def test_what_is_not_a_recognizer_is_refused_with_what_is_accepted(tmp_path: Path) -> None:
    torch.save({'conv1_1.weight': torch.zeros(1), 'conv1_1.bias': torch.zeros(1)}, tmp_path / 'vgg.pth')
    with pytest.raises(UserError, match=r"not those of a known one \(first: 'conv1_1.weight'\).\nExpected a .pth file"):
        load_recognizer(tmp_path / 'vgg.pth')
    with pytest.raises(UserError, match='none.pth. is missing. Expected a .pth file of stage 0'):
        load_recognizer(tmp_path / 'none.pth')
    (tmp_path / 'vgg.caffemodel').write_bytes(b'')
    with pytest.raises(UserError, match='holds no layer with weights'):
        load_recognizer(tmp_path / 'vgg.caffemodel')
    np.save(tmp_path / 'features.npy', np.ones((2, 3)))
    with pytest.raises(UserError, match='holds features, not a recognizer'):
        load_recognizer(tmp_path / 'features.npy')
