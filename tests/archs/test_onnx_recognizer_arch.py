import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from cface_basicsr.archs.onnx_recognizer_arch import OnnxRecognizer
from cface_basicsr.checkpoints import build_network_from_file, save_atomically
from cface_basicsr.errors import UserError
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features

MOBILEFACENET = Path(__file__).parents[3] / 'shared/weights/mobilefacenet_112.onnx'


def write_onnx(path: Path, *, batch: int | str = 'batch', last_shape: tuple[int, ...] = (-1, 6), ir: int = 8) -> dict:
    """conv 3x3 -> batch normalization -> relu -> global average pool -> dense: 16x12 faces to 6 numbers."""
    rng = np.random.default_rng(0)
    weights = {'w': rng.normal(size=(5, 3, 3, 3)), 'gain': rng.uniform(0.5, 2, 5), 'shift': rng.normal(size=5),
               'mean': rng.normal(size=5), 'var': rng.uniform(0.5, 2, 5), 'dense': rng.normal(size=(5, 6))}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    nodes = [helper.make_node('Conv', ['face', 'w'], ['a'], pads=[1, 1, 1, 1]),
             helper.make_node('BatchNormalization', ['a', 'gain', 'shift', 'mean', 'var'], ['b'], epsilon=1e-3),
             helper.make_node('Relu', ['b'], ['c']), helper.make_node('GlobalAveragePool', ['c'], ['d']),
             helper.make_node('Flatten', ['d'], ['e']), helper.make_node('MatMul', ['e', 'dense'], ['f']),
             helper.make_node('Reshape', ['f', 'shape'], ['feature'])]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    initializers.append(numpy_helper.from_array(np.array(last_shape), 'shape'))
    graph = helper.make_graph(nodes, 'tiny', [helper.make_tensor_value_info('face', TensorProto.FLOAT,
                                                                            [batch, 3, 16, 12])],
                              [helper.make_tensor_value_info('feature', TensorProto.FLOAT, [batch, None])],
                              initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=ir), str(path))
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def literal(x: torch.Tensor, w: dict) -> torch.Tensor:
    x = functional.conv2d(x, w['w'], padding=1)
    x = functional.batch_norm(x, w['mean'], w['var'], w['gain'], w['shift'], eps=1e-3)
    return x.relu().mean((2, 3)) @ w['dense']


@pytest.fixture
def tiny(tmp_path) -> OnnxRecognizer:
    write_onnx(tmp_path / 'tiny.onnx')
    return OnnxRecognizer(file=str(tmp_path / 'tiny.onnx'), height=16, width=12)


def test_it_computes_what_the_file_says_with_any_batch(tmp_path):
    weights = write_onnx(tmp_path / 'tiny.onnx')
    network = OnnxRecognizer(file=str(tmp_path / 'tiny.onnx'), height=16, width=12)
    for batch in (1, 3):
        x = torch.randn(batch, 3, 16, 12)
        torch.testing.assert_close(network(x), literal(x, weights))


def test_it_says_what_it_eats_and_how_long_its_feature_is(tiny):
    assert tiny.eats == RecognizerInput(16, 12, 'rgb', 127.5, 128.0, 'arcface')
    assert tiny.feature_length == 6
    assert recognizer_features(tiny, torch.rand(2, 3, 40, 40)).shape == (2, 6)


def test_batch_statistics_stay_those_of_the_file_while_everything_else_learns(tiny):
    before = {name: value.clone() for name, value in tiny.named_buffers()}
    x = torch.randn(4, 3, 16, 12, requires_grad=True)
    expected = tiny.eval()(x)
    learning = tiny.train()(x)
    torch.testing.assert_close(learning, expected)
    learning.square().sum().backward()
    assert tiny.training and all(torch.equal(value, before[name]) for name, value in tiny.named_buffers())
    assert x.grad.abs().sum() > 0
    assert list(tiny.parameters()) and all(p.grad.abs().sum() > 0 for p in tiny.parameters())


def test_a_copy_computes_the_same_and_shares_nothing(tiny):
    x = torch.randn(2, 3, 16, 12)
    other = copy.deepcopy(tiny)
    torch.testing.assert_close(other(x), tiny(x))
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    assert not torch.allclose(other(x), tiny(x))


def test_a_fine_tuned_one_comes_back_from_its_network_file(tiny, tmp_path):
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter.add_(0.1)
    options = {'type': 'OnnxRecognizer', 'file': str(tmp_path / 'tiny.onnx'), 'height': 16, 'width': 12}
    save_atomically({'params': tiny.state_dict(), 'network': options}, tmp_path / 'net_r.pth')
    x = torch.randn(2, 3, 16, 12)
    torch.testing.assert_close(build_network_from_file(tmp_path / 'net_r.pth')(x), tiny(x))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match='nowhere.onnx. is missing'):
        OnnxRecognizer(file=str(tmp_path / 'nowhere.onnx'))


@pytest.mark.parametrize('keep', [0, 60, 400])
def test_a_cut_off_file_is_named(tmp_path, keep):
    path = tmp_path / 'cut.onnx'
    write_onnx(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match='cut.onnx. cannot be read as an ONNX network'):
        OnnxRecognizer(file=str(path), height=16, width=12)


def test_options_of_another_size_than_the_files_are_refused_with_both(tmp_path):
    write_onnx(tmp_path / 'tiny.onnx')
    with pytest.raises(UserError, match=r'shape \[0, 3, 16, 12\].* the options say 112x112'):
        OnnxRecognizer(file=str(tmp_path / 'tiny.onnx'))


def test_a_height_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(UserError, match="height: expected a whole number from 1 up, got '112'"):
        OnnxRecognizer(file='any.onnx', height='112')


def test_faces_of_another_size_are_refused_with_both_sizes(tiny):
    with pytest.raises(UserError, match=r'OnnxRecognizer was built for 16x12 images .* got 16x16'):
        tiny(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize('shape', [(1, 6), (-1, 6, 1), (-1,)])
def test_a_graph_without_a_free_batch_or_with_other_than_one_vector_is_refused(tmp_path, shape):
    write_onnx(tmp_path / 'odd.onnx', last_shape=shape)
    with pytest.raises(UserError, match=r'expected one output \(B, D\) for \(B, 3, 16, 12\) faces'):
        OnnxRecognizer(file=str(tmp_path / 'odd.onnx'), height=16, width=12)


@pytest.mark.skipif(not MOBILEFACENET.is_file(), reason='needs ../shared/weights/mobilefacenet_112.onnx')
def test_a_real_recognizer_equals_onnxruntime_and_passes_gradients_to_the_face():
    onnxruntime = pytest.importorskip('onnxruntime')
    network = OnnxRecognizer(file=str(MOBILEFACENET))
    x = torch.randn(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)).requires_grad_()
    features = network(x)
    session = onnxruntime.InferenceSession(str(MOBILEFACENET), providers=['CPUExecutionProvider'])
    expected = session.run(None, {session.get_inputs()[0].name: x.detach().numpy()})[0]
    assert network.feature_length == 128 and np.abs(features.detach().numpy() - expected).max() < 1e-4
    features.square().sum().backward()
    assert x.grad.abs().sum() > 0 and all(p.grad is not None for p in network.parameters())
