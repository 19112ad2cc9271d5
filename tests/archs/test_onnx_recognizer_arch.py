import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from cface_basicsr.archs.onnx_recognizer_arch import OnnxRecognizer
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network_from_file, save_atomically
from cface_basicsr.ops.recognizer_input import RecognizerInput, recognizer_features

MOBILEFACENET = Path(__file__).parents[3] / 'shared/weights/mobilefacenet_112.onnx'


def write_onnx(path: Path, *, batch: int | str = 'batch', last_shape: tuple[int, ...] = (-1, 6), ir: int = 8,
               faces: tuple[int | str, ...] | None = None, kind: int = TensorProto.FLOAT,
               more_outputs: tuple[str, ...] = (), batch_mean: bool = False, check: bool = True) -> dict:
    """conv 3x3 -> batch normalization -> relu -> global average pool -> dense: 16x12 faces to 6 numbers."""
    rng = np.random.default_rng(0)
    weights = {'w': rng.normal(size=(5, 3, 3, 3)), 'gain': rng.uniform(0.5, 2, 5), 'shift': rng.normal(size=5),
               'mean': rng.normal(size=5), 'var': rng.uniform(0.5, 2, 5), 'dense': rng.normal(size=(5, 6))}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    nodes = [helper.make_node('Conv', ['face', 'w'], ['a'], pads=[1, 1, 1, 1]),
             helper.make_node('BatchNormalization', ['a', 'gain', 'shift', 'mean', 'var'], ['b'], epsilon=1e-3),
             helper.make_node('Relu', ['b'], ['c']), helper.make_node('GlobalAveragePool', ['c'], ['d']),
             helper.make_node('Flatten', ['d'], ['e']), helper.make_node('MatMul', ['e', 'dense'], ['f'])]
    if batch_mean:
        nodes += [helper.make_node('ReduceMean', ['f'], ['m'], axes=[0], keepdims=1),
                  helper.make_node('Add', ['f', 'm'], ['g'])]
    nodes.append(helper.make_node('Reshape', ['g' if batch_mean else 'f', 'shape'], ['feature']))
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    initializers.append(numpy_helper.from_array(np.array(last_shape), 'shape'))
    outputs = [helper.make_tensor_value_info('feature', TensorProto.FLOAT, [batch, *[None] * (len(last_shape) - 1)])]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, None, None, None])
                for name in more_outputs]
    graph = helper.make_graph(nodes, 'tiny', [helper.make_tensor_value_info('face', kind,
                                                                            faces or [batch, 3, 16, 12])],
                              outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=ir)
    if check:
        onnx.checker.check_model(model)
    onnx.save(model, str(path))
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


def test_it_says_which_input_it_takes_and_how_long_its_feature_is(tiny):
    assert tiny.input_spec == RecognizerInput(16, 12, 'rgb', 127.5, 128.0, 'arcface')
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
    with pytest.raises(UserError, match=r'shape \[0, 3, 16, 12\].* the options say height 112'):
        OnnxRecognizer(file=str(tmp_path / 'tiny.onnx'), height=112)


def test_height_and_width_are_the_files_or_112_where_it_leaves_them_free(tmp_path):
    write_onnx(tmp_path / 'tiny.onnx')
    assert OnnxRecognizer(file=str(tmp_path / 'tiny.onnx')).input_spec == RecognizerInput(16, 12, 'rgb', 127.5, 128.0,
                                                                                    'arcface')
    write_onnx(tmp_path / 'free.onnx', faces=('batch', 3, 'height', 'width'))
    assert OnnxRecognizer(file=str(tmp_path / 'free.onnx')).input_spec == RecognizerInput(112, 112, template='arcface')
    free = OnnxRecognizer(file=str(tmp_path / 'free.onnx'), height=16, width=12)
    assert (free.input_spec.height, free.input_spec.width) == (16, 12)


def test_a_side_of_which_one_image_would_fill_the_memory_is_refused(tmp_path):
    write_onnx(tmp_path / 'free.onnx', faces=('batch', 3, 'height', 'width'))
    with pytest.raises(UserError, match='takes faces of 112x1025 pixels; expected sides from 1 to 1024'):
        OnnxRecognizer(file=str(tmp_path / 'free.onnx'), height=1025)


def test_a_settings_file_describes_the_input_and_options_take_precedence(tmp_path):
    write_onnx(tmp_path / 'tiny.onnx')
    (tmp_path / 'tiny.input.yml').write_text('channels: bgr\nmean: 0\nstd: 255\ntemplate: center\n')
    file = str(tmp_path / 'tiny.onnx')
    assert OnnxRecognizer(file=file).input_spec == RecognizerInput(16, 12, 'bgr', 0, 255, 'center')
    expected = RecognizerInput(16, 12, 'rgb', 1, 255, 'center')
    assert OnnxRecognizer(file=file, channels='rgb', mean=1).input_spec == expected


@pytest.mark.parametrize(('text', 'message'), [
    ('chanels: bgr', "tiny.input.yml.: unknown key 'chanels'; did you mean 'channels'?"),
    ('channels: grb', "expected one of rgb, bgr, got 'grb'"), ('std: 0', 'std of a recognizer: expected a number'),
    ('mean: [1, a, 3]', r"mean: expected a number, got \[1, 'a', 3\]"),
    ('mean: [1, 2]', 'expected one number, or one for each of three channels, got 2'),
    ('- bgr', "expected lines like 'channels: bgr'"),
    ('a: [', "tiny.input.yml', line 2 is not valid YAML"), ('width: 96', 'the options say width 96')])
def test_a_settings_file_that_makes_no_sense_is_refused(tmp_path, text, message):
    write_onnx(tmp_path / 'tiny.onnx')
    (tmp_path / 'tiny.input.yml').write_text(text)
    with pytest.raises(UserError, match=message):
        OnnxRecognizer(file=str(tmp_path / 'tiny.onnx'))


def test_a_height_that_is_not_a_number_is_refused(tmp_path):
    with pytest.raises(UserError, match="height: expected a whole number from 1 up, got '112'"):
        OnnxRecognizer(file='any.onnx', height='112')


def test_faces_of_another_size_are_refused_with_both_sizes(tiny):
    with pytest.raises(UserError, match=r'OnnxRecognizer was built for 16x12 images .* got 16x16'):
        tiny(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize('shape', [(-1,), (-1, 2, 3), (3, -1)])
def test_a_graph_that_does_not_give_one_vector_per_face_is_refused(tmp_path, shape):
    write_onnx(tmp_path / 'odd.onnx', last_shape=shape)
    with pytest.raises(UserError, match=r'expected an output \(B, D\) for \(B, 3, 16, 12\) faces; one face gives'):
        OnnxRecognizer(file=str(tmp_path / 'odd.onnx'))


@pytest.mark.parametrize(('shape', 'face_by_face'), [((-1, 6), False), ((-1, 6, 1, 1), False), ((1, 6), True),
                                                     ((1, -1), True), ((1, 6, 1, 1), True)])
def test_maps_of_one_pixel_and_files_fixed_to_one_face_give_the_same_features(tmp_path, shape, face_by_face):
    weights = write_onnx(tmp_path / 'odd.onnx', batch=1, last_shape=shape)
    network = OnnxRecognizer(file=str(tmp_path / 'odd.onnx'))
    assert network.face_by_face == face_by_face and network.feature_length == 6
    x = torch.randn(3, 3, 16, 12, requires_grad=True)
    torch.testing.assert_close(network(x), literal(x, weights))
    network(x).square().sum().backward()
    assert (x.grad.flatten(1).abs().sum(1) > 0).all()


def test_a_graph_that_mixes_the_faces_of_a_batch_is_run_face_by_face(tmp_path):
    """Its output has the right shape for any batch, and numbers that depend on the others."""
    write_onnx(tmp_path / 'mixing.onnx', batch_mean=True)
    network = OnnxRecognizer(file=str(tmp_path / 'mixing.onnx'))
    x = torch.randn(2, 3, 16, 12)
    assert network.face_by_face
    torch.testing.assert_close(network(x), torch.cat([network.body(x[:1]), network.body(x[1:])]))


def test_of_several_outputs_the_named_one_is_the_feature(tmp_path):
    weights = write_onnx(tmp_path / 'two.onnx', more_outputs=('b', 'd'))
    file = str(tmp_path / 'two.onnx')
    with pytest.raises(UserError, match='has 3 outputs: feature, b, d. Say which is the feature, by `output: NAME`'):
        OnnxRecognizer(file=file)
    with pytest.raises(UserError, match="has no output 'featur'; did you mean 'feature'?"):
        OnnxRecognizer(file=file, output='featur')
    x = torch.randn(2, 3, 16, 12)
    torch.testing.assert_close(OnnxRecognizer(file=file, output='feature')(x), literal(x, weights))
    (tmp_path / 'two.input.yml').write_text('output: d')
    pooled = OnnxRecognizer(file=file)
    assert pooled.feature_length == 5  # (B, 5, 1, 1), before the dense layer
    torch.testing.assert_close(pooled(x) @ weights['dense'], literal(x, weights))


@pytest.mark.parametrize(('faces', 'kind', 'message'), [
    (('batch', 16, 12, 3), TensorProto.FLOAT, r'\[0, 16, 12, 3\] .* channels last'),
    (('batch', 1, 16, 12), TensorProto.FLOAT, r'Expected float images \(batch, 3, height, width\)'),
    (('batch', 36), TensorProto.FLOAT, 'Expected float images'),
    (('batch', 3, 16, 12), TensorProto.UINT8, 'takes uint8 images')])
def test_files_that_take_other_images_are_refused(tmp_path, faces, kind, message):
    write_onnx(tmp_path / 'odd.onnx', faces=faces, kind=kind, check=False)
    with pytest.raises(UserError, match=message):
        OnnxRecognizer(file=str(tmp_path / 'odd.onnx'))


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


def write_mxnet_like(path: Path, opset: int, ir: int, *, spatial: int | None = None) -> torch.nn.Module:
    """convolution, normalization, PReLU, pooling, dropout, dense, normalization; weights are inputs before IR 4."""
    rng = np.random.default_rng(0)
    shapes = {'w': (4, 3, 3, 3), 'slope': (4, 1, 1), 'd': (6, 24), 'e': (6,)} | {
        f'{name}{size}': (size,) for name in ('gain', 'shift', 'mean', 'var') for size in (4, 6)}
    weights = {name: rng.uniform(0.2, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    more = {} if spatial is None else {'spatial': spatial}
    norm = ['gain', 'shift', 'mean', 'var']
    nodes = [helper.make_node('Conv', ['face', 'w'], ['a'], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
             helper.make_node('BatchNormalization', ['a', *(f'{name}4' for name in norm)], ['b'], **more),
             helper.make_node('PRelu', ['b', 'slope'], ['c']),
             helper.make_node('AveragePool', ['c'], ['p'], kernel_shape=[8, 4], strides=[8, 4]),
             helper.make_node('Dropout', ['p'], ['q']), helper.make_node('Flatten', ['q'], ['f']),
             helper.make_node('Gemm', ['f', 'd', 'e'], ['g'], transB=1),
             helper.make_node('BatchNormalization', ['g', *(f'{name}6' for name in norm)], ['feature'], **more)]
    inputs = [helper.make_tensor_value_info('face', TensorProto.FLOAT, [1, 3, 16, 12])]
    if ir < 4:
        inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info('feature', TensorProto.FLOAT, [1, 6])
    graph = helper.make_graph(nodes, 'old', inputs, [output],
                              [numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=ir)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    w = {name: torch.from_numpy(value) for name, value in weights.items()}

    def literal_forward(x: torch.Tensor) -> torch.Tensor:
        x = functional.conv2d(x, w['w'], padding=1)
        x = functional.batch_norm(x, w['mean4'], w['var4'], w['gain4'], w['shift4'])
        x = functional.avg_pool2d(functional.prelu(x, w['slope'].flatten()), (8, 4)).flatten(1) @ w['d'].T + w['e']
        return functional.batch_norm(x, w['mean6'], w['var6'], w['gain6'], w['shift6'])
    return literal_forward


@pytest.mark.parametrize(('opset', 'ir', 'spatial'), [
    (7, 3, None), (8, 3, None), (8, 3, 0), (8, 3, 1), (8, 4, None), (9, 4, None), (13, 8, None), (18, 8, None),
    (19, 9, None), (20, 9, None), (21, 10, None), (22, 10, None)])
def test_files_of_any_opset_compute_what_they_say(tmp_path, opset, ir, spatial):
    """MXNet wrote 7 and 8, with weights among the inputs and spatial=0; today's exporters write 18 and up."""
    expected = write_mxnet_like(tmp_path / 'old.onnx', opset, ir, spatial=spatial)
    network = OnnxRecognizer(file=str(tmp_path / 'old.onnx')).eval()  # without dropout
    x = torch.randn(2, 3, 16, 12, requires_grad=True)
    torch.testing.assert_close(network(x), expected(x))
    network(x).square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert {tuple(parameter.shape) for parameter in network.parameters()} >= {(4, 3, 3, 3), (6, 24)}


def test_an_opset_that_cannot_be_bridged_is_named_with_what_to_do(tmp_path):
    write_onnx(tmp_path / 'new.onnx')
    model = onnx.load(tmp_path / 'new.onnx')
    model.opset_import[0].version = 21
    model.ir_version = 10
    model.graph.node.insert(3, helper.make_node('Gelu', ['c'], ['gelu']))
    model.graph.node[4].input[0] = 'gelu'
    onnx.checker.check_model(model)
    onnx.save(model, str(tmp_path / 'new.onnx'))
    with pytest.raises(UserError, match='(?s)new.onnx. cannot be turned into a torch network .*Gelu.*with opset 21, or '
                                        'with 17 or 13.\nExport it again with opset'):
        OnnxRecognizer(file=str(tmp_path / 'new.onnx'))


def test_an_opset_newer_than_the_installed_onnx_is_no_damaged_file(tmp_path):
    write_onnx(tmp_path / 'future.onnx')
    for change in ({'opset': 999}, {'ir': 999}):
        model = onnx.load(tmp_path / 'future.onnx')
        model.opset_import[0].version = change.get('opset', 13)
        model.ir_version = change.get('ir', 8)
        onnx.save(model, str(tmp_path / f'{min(change)}.onnx'))
        with pytest.raises(UserError, match=r'has opset \d+ and IR version \d+; onnx .* knows .*\n.*--upgrade onnx'):
            OnnxRecognizer(file=str(tmp_path / f'{min(change)}.onnx'))
