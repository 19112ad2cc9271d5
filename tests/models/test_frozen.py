"""While L_CF or L_SI is computed, nothing in CNN_R is random and nothing counts: HR against itself costs 0."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import facexlib.recognition.arcface_arch as facexlib
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.errors import UserError
from cface_basicsr.models.recognition import check_repeatable, frozen
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features
from cface_basicsr.options import merge, read_option_file
from cface_basicsr.options.training import OUR_TRAINING
from cface_basicsr.registration import offered
from cface_basicsr.training.recipe import only_existing
from tests.narrow import narrow
from tests.tiny_stages import REPOSITORY, batch_of, build, parameters, same, tiny

OPTIONS = REPOSITORY / 'options'
CPU = torch.device('cpu')


def compares_features(path: Path) -> bool:
    """Whether a shipped option file has a loss of features that a trained CNN_R gives: L_CF or L_SI."""
    opt = read_option_file(path)
    needs = OUR_TRAINING[opt['model_type']].needs() if opt.get('model_type') in OUR_TRAINING else {}
    return any(loss in opt['train'] and 'network_r' in parts and 'optim_r' not in parts
               for loss, parts in needs.items())


FILES = sorted(str(path.relative_to(OPTIONS)) for path in OPTIONS.rglob('*.yml') if compares_features(path))
RECOGNIZERS = sorted(name for name, kind in offered('archs').items() if 'self.input_spec =' in inspect.getsource(kind))


def test_the_files_and_recognizers_that_this_module_walks_are_found() -> None:
    assert set(FILES) >= {'cface_stage1.yml', 'cface_stage4.yml', 'baselines/sicnn_x8.yml'}
    assert set(RECOGNIZERS) >= {'SphereFace20', 'ArcFaceIRSE50', 'OnnxRecognizer'}


def write_onnx_with_dropout(path: Path) -> Path:
    """A recognizer exported in training mode: half of its values are dropped, and its batch normalization learns."""
    random = np.random.default_rng(0)
    weights = {'w': random.normal(size=(4, 3, 8, 8)), 'gain': np.ones(4), 'shift': np.zeros(4), 'mean': np.zeros(4),
               'var': np.ones(4), 'ratio': np.array(0.5), 'dense': random.normal(size=(8, 64))}
    weights = {name: value.astype(np.float32) for name, value in weights.items()} | {'on': np.array(True)}
    nodes = [helper.make_node('Conv', ['face', 'w'], ['a'], kernel_shape=[8, 8], strides=[8, 8]),
             helper.make_node('BatchNormalization', ['a', 'gain', 'shift', 'mean', 'var'], ['b']),
             helper.make_node('Dropout', ['b', 'ratio', 'on'], ['c']), helper.make_node('Flatten', ['c'], ['d']),
             helper.make_node('Gemm', ['d', 'dense'], ['feature'], transB=1)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['batch', *shape])
            for name, shape in (('face', [3, 32, 32]), ('feature', [8]))]
    graph = helper.make_graph(nodes, 'dropout', ends[:1], ends[1:],
                              [numpy_helper.from_array(value, name) for name, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), str(path))
    return path


@pytest.fixture
def make(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """make(file, name, changes) -> the model of a shipped file with that recognizer, narrow, fed with four faces."""
    units = [facexlib.get_block(*widths, num_units=1) for widths in ((64, 64), (64, 128), (128, 256), (256, 512))]
    monkeypatch.setattr(facexlib, 'get_blocks', lambda num_layers: units)  # all 24 units take a minute

    def of(file: str, name: str, changes: dict[str, Any] | None = None) -> Any:
        section = {'type': name} | narrow({'type': name})
        if name == 'OnnxRecognizer':
            section['file'] = str(write_onnx_with_dropout(tmp_path / 'face.onnx'))
        opt = tiny(file, data, {'network_r': section}, handed_over='r')
        torch.manual_seed(0)
        network = offered('archs')[name](**{key: value for key, value in opt['network_r'].items() if key != 'type'})
        torch.save({'params': network.state_dict()}, tmp_path / 'net_r.pth')
        opt = merge(opt, {'path': {'pretrain_network_r': str(tmp_path / 'net_r.pth')}})
        opt = merge(opt, only_existing({'network_c': {'feature_length': network.feature_length}}, opt))
        if 'sicnn' in file:
            opt = merge(opt, {'network_g': {'num_block': None, 'num_grow_ch': 2, 'num_dense': 1}})
        if 'esrgan' in file:
            opt = merge(opt, {'network_d': {'num_dense': None}, 'train': {'content_opt': None}})
        model = build(merge(opt, changes or {}), tmp_path)
        model.feed_data(batch_of(model))
        return model
    return of


def of_features(losses: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The terms of L_CF and L_SI."""
    return {name: loss for name, loss in losses.items() if name.startswith('l_cf') or name == 'l_g_identity'}


@pytest.mark.parametrize('name', RECOGNIZERS)
@pytest.mark.parametrize('file', FILES)
def test_hr_against_itself_costs_nothing_and_a_batch_has_one_gradient(
        make: Callable[..., Any], file: str, name: str) -> None:
    model = make(file, name)
    before, modes = parameters(model, 'r'), [module.training for module in model.net_r.modules()]
    at_hr = of_features(model.generator_losses(model.gt))
    assert at_hr and all(abs(loss.item()) < 1e-9 for loss in at_hr.values()), at_hr
    sr = model.net_g(model.lq)
    one, two = (torch.autograd.grad(sum(model.generator_losses(sr).values()), sr, retain_graph=True)[0]
                for _ in range(2))
    assert one.abs().sum() > 0 and torch.equal(one, two)
    assert same(before, parameters(model, 'r'))
    assert modes == [module.training for module in model.net_r.modules()]


@pytest.mark.parametrize('distance', ['normalized', 'l2', 'cosine'])
def test_every_distance_and_l_si_alone_are_zero_at_hr_with_a_recognizer_that_learns_with_dropout(
        make: Callable[..., Any], distance: str) -> None:
    model = make('cface_stage4.yml', 'ArcFaceIRSE50', {'train': {'cface_opt': {'distance': distance, 'gamma2': 0.0}}})
    (dropout,) = (module for module in model.net_r.modules() if isinstance(module, nn.Dropout))
    assert dropout.training and dropout.p == 0.6
    losses = model.generator_losses(model.gt)
    assert losses['l_cf_self'].item() == pytest.approx(0, abs=1e-7) and losses['l_cf_compare'] == 0


# ------------------------------------------------------------------------------------------------ whatever it is called

class Tiny(nn.Module):
    """A recognizer with any module between its convolution and its feature."""

    input_spec = RecognizerInput(16, 16)

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), between, nn.Flatten(), nn.LazyLinear(8))
        self.body(torch.zeros(2, 3, 16, 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Function(nn.Module):
    """A function of a module and its input, as a module; it may count in `calls`."""

    def __init__(self, function: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer('calls', torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def count(module: Any, x: torch.Tensor, always: bool = False) -> torch.Tensor:
    module.calls += module.training or always
    return x + module.calls


UNSTEADY: dict[str, Callable[[], nn.Module]] = {
    'dropout': lambda: nn.Dropout(0.5), 'channels': lambda: nn.Dropout2d(0.5), 'alpha': lambda: nn.AlphaDropout(0.5),
    'feature alpha': lambda: nn.FeatureAlphaDropout(0.5), 'random slopes': lambda: nn.RReLU(),
    'batch': lambda: nn.BatchNorm2d(6), 'instance': lambda: nn.InstanceNorm2d(6, track_running_stats=True),
    'depth': lambda: StochasticDepth(0.5, 'row'),
    'spectral': lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(6, 6, 3)),
    'a call': lambda: Function(lambda module, x: functional.dropout(x, 0.5, module.training)),
    'a counter': lambda: Function(count)}


@pytest.mark.parametrize('kind', UNSTEADY)
def test_a_module_that_is_random_or_counts_in_training_does_neither_when_frozen(kind: str) -> None:
    torch.manual_seed(0)
    network = Tiny(UNSTEADY[kind]()).train()
    network.body[0].eval()
    network.body[3].bias.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    faces = torch.rand(4, 3, 16, 16, requires_grad=True)
    check_repeatable(network, CPU)
    with frozen(network):
        features = [recognizer_features(network, faces) for _ in range(2)]
        assert torch.equal(*features)
        torch.testing.assert_close(recognizer_features(network, faces[:2]), features[0][:2])
        features[0].sum().backward()
    assert faces.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training and network.body[1].training and not network.body[0].training
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ['body.3.bias']


def test_after_an_error_a_network_is_in_its_own_mode_again() -> None:
    network = Tiny(nn.Dropout()).train()
    with pytest.raises(ZeroDivisionError), frozen(network):
        raise ZeroDivisionError
    assert network.body[1].training and all(p.requires_grad for p in network.parameters())


DIFFERENT = 'gives one face different features in two batches'


@pytest.mark.parametrize(('module', 'message'), [
    (lambda: nn.FractionalMaxPool2d(2, output_size=5), DIFFERENT),
    (lambda: nn.BatchNorm2d(6, track_running_stats=False), DIFFERENT),
    (lambda: Function(lambda module, x: functional.dropout(x, 0.1)), DIFFERENT),
    (lambda: Function(lambda module, x: count(module, x, always=True)), "changes 'body.1.calls'")])
def test_a_recognizer_that_is_not_repeatable_when_frozen_is_refused_in_one_line(
        module: Callable[[], nn.Module], message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(UserError, match=f"^option 'network_r': Tiny {message}, in evaluation mode too") as caught:
        check_repeatable(Tiny(module()), CPU)
    assert '\n' not in str(caught.value)


def test_a_training_checks_its_recognizer_before_the_first_step(
        make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SphereFace20, 'forward', lambda self, x: torch.rand(len(x), 8) + 0 * self.fc5.bias)
    for file in FILES:
        with pytest.raises(UserError, match='SphereFace20 gives one face different features'):
            make(file, 'SphereFace20')


@pytest.mark.parametrize('name', RECOGNIZERS)
def test_a_recognizer_that_says_it_computes_the_same_in_training_does(name: str, tmp_path: Path) -> None:
    if name == 'OnnxRecognizer':
        network = offered('archs')[name](file=str(write_onnx_with_dropout(tmp_path / 'face.onnx')))
    else:
        network = offered('archs')[name](**narrow({'type': name}))
    says = getattr(network, 'same_in_training', False)
    assert says == (name == 'SphereFace20')
    spec, before = network.input_spec, {key: value.clone() for key, value in network.state_dict().items()}
    faces = torch.rand(4, 3, spec.height, spec.width)
    with torch.no_grad():
        learning, still = network.train()(faces), network.eval()(faces)
    if says:
        assert torch.equal(learning, still) and same(before, network.state_dict())
