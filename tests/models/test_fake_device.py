"""A step of every training runs on a device that is not there; none of ours waits for it."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorDeviceMismatchError,
)

from cface_basicsr import registration
from cface_basicsr.files.network_file import build_network
from cface_basicsr.options import read_option_file
from cface_basicsr.options.training import OUR_TRAINING
from tests.fake_device import fake_device, like, move, move_network, synchronizations
from tests.narrow import narrow
from tests.onnx_file import write_onnx_recognizer
from tests.test_baseline_files import casia as casia
from tests.test_baseline_files import small
from tests.tiny_stages import REPOSITORY, batch_of, build, stage_options
from tests.vgg_file import write_seeded_vgg19

BASELINES = sorted((REPOSITORY / 'options/baselines').iterdir())
STAGES = (0, 1, 3, 4)
NEEDED: dict[str, dict[str, Any]] = {'ASoftmaxHead': {'num_classes': 3}}
"""What a constructor cannot do without."""
RECOGNIZERS = {'SphereFace20': {'input_size': [128, 128]}, 'ArcFaceIRSE50': {}, 'OnnxRecognizer': {},
               'DlibResNet': {}}


@pytest.fixture(scope='module')
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seeded_vgg19(tmp_path_factory.mktemp('vgg') / 'vgg19.pth')


def synchronizations_of_two_steps(opt: dict[str, Any], folder: Path) -> tuple[list[int], int]:
    """How often each of two steps waits for the device, and how often the log of both does."""
    model = build(opt, folder)
    batch = batch_of(model, 2)
    counts = []
    for optimizer in model.optimizers:
        optimizer.param_groups[0]['fused'] = False  # no fused kernel is made for a device that is not there
    with fake_device():
        move(model, 'meta')
        for number in (1, 2):
            model.feed_data({key: like(value, 'meta') for key, value in batch.items()})
            with synchronizations() as counted:
                model.optimize_parameters(number)
            counts.append(counted.count)
        with synchronizations() as counted:
            log = model.get_current_log()
    assert all(isinstance(value, float) for value in log.values())
    return counts, counted.count


@pytest.mark.parametrize('stage', STAGES)
def test_a_step_of_a_stage(data: Path, tmp_path: Path, vgg: Path, stage: int) -> None:
    content = {'train': {'content_opt': {'type': 'VGGContentLoss', 'weights': str(vgg)}}} if stage in (1, 4) else {}
    assert synchronizations_of_two_steps(stage_options(stage, data, content), tmp_path) == ([0, 0], 1)


def test_a_step_of_a_sampled_classifier_waits_for_nothing(data: Path, tmp_path: Path) -> None:
    opt = stage_options(0, data, {'train': {'recognition_opt': {'sample_rate': 0.5}}})
    assert synchronizations_of_two_steps(opt, tmp_path) == ([0, 0], 1)


@pytest.mark.parametrize('path', BASELINES, ids=lambda path: path.stem)
def test_a_step_of_a_compared_system(casia: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """BasicSR's own models read each value of their log by itself, in every step."""
    monkeypatch.chdir(casia)  # the files' own paths are taken as they are
    opt = small(read_option_file(path), casia)
    opt['path'] = {key: weights for key, weights in opt['path'].items() if Path(weights).is_file()}
    of_basicsr = {'srgan_x8': 6, 'esrgan_x8': 7}.get(path.stem, 1)
    expected = ([0, 0], 1) if opt['model_type'] in OUR_TRAINING else ([of_basicsr] * 2, 0)
    assert synchronizations_of_two_steps(opt, tmp_path) == expected


@pytest.mark.parametrize('name', sorted(RECOGNIZERS))
def test_a_step_of_stage_4_with_every_recognizer(data: Path, tmp_path: Path, name: str) -> None:
    section = {'type': name, **RECOGNIZERS[name]}
    if name == 'OnnxRecognizer':
        section['file'] = str(write_onnx_recognizer(tmp_path / 'r.onnx'))
    network = build_network(section)
    torch.save({'params': network.state_dict()}, tmp_path / 'r.pth')
    opt = stage_options(4, data)
    opt |= {'network_r': section, 'network_c': {**opt['network_c'], 'feature_length': network.feature_length},
            'path': {} if name == 'OnnxRecognizer' else {'pretrain_network_r': str(tmp_path / 'r.pth')}}
    assert synchronizations_of_two_steps(opt, tmp_path) == ([0, 0], 1)


def test_the_list_of_recognizers_has_all_that_are_registered() -> None:
    known = {name for name, kind in registration.offered('archs').items()
             if 'self.input_spec =' in inspect.getsource(kind)}
    assert known == set(RECOGNIZERS)


@pytest.mark.parametrize('name', sorted(registration.offered('archs')))
def test_every_network_runs_forward_on_a_gpu_that_is_not_there(tmp_path: Path, name: str) -> None:
    if name == 'OnnxRecognizer':
        section = {'type': name, 'file': str(write_onnx_recognizer(tmp_path / 'r.onnx'))}
    else:
        section = {'type': name, **narrow({'type': name}), **NEEDED.get(name, {})}
    network = build_network(section)
    spec = getattr(network, 'input_spec', None)
    side = 128 if 'Discriminator' in name else 16
    shape = (2, 8) if name == 'ASoftmaxHead' else (2, 3, spec.height, spec.width) if spec else (2, 3, side, side)
    with fake_device(), torch.no_grad():
        move_network(network, 'cuda')
        result = network(torch.empty(shape, device='cuda'))
    results = result if isinstance(result, (tuple, list)) else [result]
    assert {each.device.type for each in results} == {'cuda'} and len(results[0])


def test_a_tensor_that_a_step_leaves_on_the_cpu_is_found() -> None:
    with fake_device(), pytest.raises(FakeTensorDeviceMismatchError):
        torch.empty(3, device='meta') + torch.ones(3)


def test_reading_a_number_to_decide_something_is_found_or_counted() -> None:
    with fake_device(), synchronizations() as counted:
        loss = torch.empty(2, device='meta')
        assert loss.tolist() == [1.0, 1.0] and loss.sum().item() == 1.0 and torch.ones(1).item() == 1.0
        assert counted.count == 2
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            loss[loss > 0]
