"""A tiny face recognizer as an ONNX file, for tests."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_onnx_network(path: Path, side: int | str = 'side') -> Path:
    """A convolution and a pixel shuffle: (batch, 3, side, side) to (batch, 3, 2 side, 2 side)."""
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(12, 3, 3, 3)).astype(np.float32), 'w')
    nodes = [helper.make_node('Conv', ['lr', 'w'], ['a'], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
             helper.make_node('DepthToSpace', ['a'], ['sr'], blocksize=2)]
    graph = helper.make_graph(
        nodes, 'tiny', [helper.make_tensor_value_info('lr', TensorProto.FLOAT, ['batch', 3, side, side])],
        [helper.make_tensor_value_info('sr', TensorProto.FLOAT, None)], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), str(path))
    return path


def write_onnx_recognizer(path: Path, *, size: int = 112, feature_length: int = 128) -> Path:
    """size x size faces -> strided convolution, PReLU, mean over a 4x4 grid, dense: (B, feature_length)."""
    random = np.random.default_rng(0)
    weights = {'w': random.normal(size=(4, 3, 7, 7), scale=0.1), 'slope': np.full((4, 1, 1), 0.25),
               'dense': random.normal(size=(feature_length, 64)), 'bias': np.zeros(feature_length)}
    cell = size // 4 // 4
    nodes = [helper.make_node('Conv', ['face', 'w'], ['a'], kernel_shape=[7, 7], strides=[4, 4], pads=[3, 3, 3, 3]),
             helper.make_node('PRelu', ['a', 'slope'], ['b']),
             helper.make_node('AveragePool', ['b'], ['c'], kernel_shape=[cell, cell], strides=[cell, cell]),
             helper.make_node('Flatten', ['c'], ['d']),
             helper.make_node('Gemm', ['d', 'dense', 'bias'], ['feature'], transB=1)]
    graph = helper.make_graph(
        nodes, 'tiny', [helper.make_tensor_value_info('face', TensorProto.FLOAT, ['batch', 3, size, size])],
        [helper.make_tensor_value_info('feature', TensorProto.FLOAT, ['batch', feature_length])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8), str(path))
    return path
