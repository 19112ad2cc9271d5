"""Published weights of SphereFace-20, renamed for `SphereFace20`: nothing is computed, every layer has a counterpart.

The same network circulates under three naming schemes (layer table: wy1iu/sphereface,
train/code/sphereface_deploy.prototxt):

- wy1iu's .caffemodel: layers conv1_1, relu1_1, conv1_2 … fc5; the units' biases are there and zero;
- clcarwin/sphereface_pytorch, sphere20a_*.pth: conv1_1.weight, relu1_1.weight … fc5.weight, with trained biases;
- johnnysclai/SR_LRFR, sface.pth, converted from wy1iu's: positions in a list, 0.weight, 1.weight,
  2.0.resblock.0.weight … 13.weight.

All three take aligned faces of 112x96 pixels (the `sphereface` template) as (v - 127.5) / 128 in the order blue, green,
red: Caffe and clcarwin train on what OpenCV reads, and wy1iu's evaluation reverses MATLAB's channels. All flatten the
last maps channel by channel, row by row, as `SphereFace20` does. The classifier (fc6) is left out.

A .caffemodel is read by the library protobuf; Caffe itself is not needed. Only what holds weights is described to it:
layers, their names and their blobs. Everything else is skipped.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError
from cface_basicsr.files.text_file import read_whole

# (field, number, type, repeated) of caffe.proto. `V1Layer` and the four single sizes occur in files before 2015.
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    'Shape': (('dim', 1, 'int64', True),),
    'Blob': (('num', 1, 'int32', False), ('channels', 2, 'int32', False), ('height', 3, 'int32', False),
             ('width', 4, 'int32', False), ('data', 5, 'float', True), ('shape', 7, 'Shape', False),
             ('double_data', 8, 'double', True)),
    'V1Layer': (('name', 4, 'string', False), ('blobs', 6, 'Blob', True)),
    'Layer': (('name', 1, 'string', False), ('blobs', 7, 'Blob', True)),
    'Net': (('layers', 2, 'V1Layer', True), ('layer', 100, 'Layer', True))}


def read_caffe_blobs(path: str | Path) -> dict[str, list[Tensor]]:
    """The blobs of each layer that has any, by the layer's name, in the order of the file.

    Returns:
        float32 tensors, (out, in, …) for weights and (out,) for biases. Old files give every blob four sizes; then
        sizes of 1 at the front are dropped.

    Raises:
        UserError: the file is missing, cut off or not a Caffe network, or a blob does not have the size it declares.
    """
    content = read_whole(path, 'Expected a .caffemodel file.', 'Caffe network file')
    net = _net_class()()
    try:
        net.ParseFromString(content)
    except Exception as error:  # protobuf's implementations raise different ones
        raise UserError(f"'{path}' cannot be read as a Caffe network ({type(error).__name__}): it is cut off or not "
                        'a .caffemodel file. Copy it again.') from error
    blobs = {layer.name: [_tensor(blob, layer.name, path) for blob in layer.blobs]
             for layer in (*net.layers, *net.layer) if layer.blobs}
    if not blobs:
        raise UserError(f"'{path}' holds no layer with weights. Expected a .caffemodel file (not a .prototxt).")
    return blobs


@cache
def _net_class() -> Any:
    """The class of protobuf messages that `_MESSAGES` calls Net."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    file = descriptor_pb2.FileDescriptorProto(name='cface_caffe_weights.proto', package='cface_caffe', syntax='proto2')
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            entry = message.field.add(name=field, number=number)
            entry.label = entry.LABEL_REPEATED if repeated else entry.LABEL_OPTIONAL
            if kind in _MESSAGES:
                entry.type, entry.type_name = entry.TYPE_MESSAGE, f'.cface_caffe.{kind}'
            else:
                entry.type = getattr(entry, f'TYPE_{kind.upper()}')
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('cface_caffe.Net'))


def _tensor(blob: Any, layer: str, path: Path) -> Tensor:
    values = np.array(blob.double_data or blob.data, dtype=np.float32)
    if blob.HasField('shape'):
        shape = list(blob.shape.dim)
    else:
        shape = [blob.num, blob.channels, blob.height, blob.width]
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
    if min(shape, default=0) < 0 or values.size != math.prod(shape):
        raise UserError(f"'{path}': a blob of layer '{layer}' declares {'x'.join(map(str, shape))} numbers and has "
                        f'{values.size}. The file is damaged: copy it again.')
    return torch.from_numpy(values).reshape(shape)


UNITS = (1, 2, 4, 1)
"""Residual units of each stage."""
_CLASSIFIER = 'fc6'


def is_sphereface20(names: Iterable[str]) -> bool:
    """Whether the names of a state dict are those of a published SphereFace; `to_sphereface20` checks all layers."""
    names = set(names)
    return {'conv1_1.weight', 'relu1_1.weight'} <= names or '2.0.resblock.0.weight' in names


def from_caffe(blobs: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    """The blobs of wy1iu's .caffemodel (see `caffe.read_caffe_blobs`), weights (out, in, …), under clcarwin's names."""
    return {f'{layer}.{part}': blob for layer, parts in blobs.items()
            for part, blob in zip(('weight', 'bias'), parts, strict=False)}


def to_sphereface20(state: Mapping[str, Tensor], where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The options and the state dict of the `SphereFace20` that computes what a published one does.

    Args:
        state: under one of the two torch naming schemes; weights (out, in, …), biases (out,).
        where: what a message calls the file.

    Returns:
        ({'type': 'SphereFace20', …}, state dict); widths are those of the weights.

    Raises:
        UserError: a layer is missing, has another shape, or does not belong to SphereFace-20.
    """
    theirs = _BY_NAME if f'{_BY_NAME[0]}.weight' in state else _BY_PLACE
    _check_layers(state, theirs, where)
    options = {'type': 'SphereFace20', 'input_size': [112, 96], 'num_feat': len(state[f'{theirs[0]}.weight']),
               'feature_length': len(state[f'{theirs[-1]}.weight']), 'channels': 'bgr', 'template': 'sphereface'}
    wanted = _shapes(options)
    renamed = {}
    for their, our in zip(theirs, _OURS, strict=True):
        for part in ('weight', 'bias'):
            if (name := f'{our}.{part}') in wanted:
                renamed[name] = _parameter(state, f'{their}.{part}', wanted[name], '.body.' in name, where)
    return options, renamed


def _our_layers() -> Iterator[str]:
    """The layers of `SphereFace20` in the order in which they compute."""
    for stage, units in enumerate(UNITS):
        yield from (f'stages.{stage}.{layer}' for layer in (0, 1))
        yield from (f'stages.{stage}.{2 + unit}.body.{layer}' for unit in range(units) for layer in range(4))
    yield 'fc5'


def _named_layers() -> Iterator[str]:
    for stage, units in enumerate(UNITS, start=1):
        yield from (f'{kind}{stage}_{number}' for number in range(1, 2 + 2 * units) for kind in ('conv', 'relu'))
    yield 'fc5'


def _placed_layers() -> Iterator[str]:
    for stage, units in enumerate(UNITS):
        yield from (f'{3 * stage + layer}' for layer in (0, 1))
        yield from (f'{3 * stage + 2}.{unit}.resblock.{layer}' for unit in range(units) for layer in range(4))
    yield '13'


_OURS, _BY_NAME, _BY_PLACE = tuple(_our_layers()), tuple(_named_layers()), tuple(_placed_layers())


def _shapes(options: dict[str, Any]) -> dict[str, torch.Size]:
    from cface_basicsr.archs.sphereface20_arch import SphereFace20
    with torch.device('meta'):
        network: nn.Module = SphereFace20(**{key: value for key, value in options.items() if key != 'type'})
    return {name: value.shape for name, value in network.state_dict().items()}


def _check_layers(state: Mapping[str, Tensor], layers: tuple[str, ...], where: str) -> None:
    known = {f'{layer}.{part}' for layer in (*layers, _CLASSIFIER) for part in ('weight', 'bias')}
    missing = [layer for layer in layers if f'{layer}.weight' not in state]
    unknown = sorted(set(state) - known)
    if missing or unknown:
        what = f"layer '{missing[0]}' is missing" if missing else f"'{unknown[0]}' is not one of its layers"
        raise UserError(f'{where} is not a SphereFace-20: {what}. Expected 20 convolutions with a PReLU each, and fc5.')


def _parameter(state: Mapping[str, Tensor], name: str, shape: torch.Size, of_unit: bool, where: str) -> Tensor:
    value = state.get(name)
    if value is None and of_unit and name.endswith('.bias'):
        return torch.zeros(shape)  # Caffe keeps the units' biases at zero, and some files leave them out
    if value is None:
        raise UserError(f"{where}: '{name}' is missing; a SphereFace-20 has one.")
    if value.shape != shape:
        came, wanted = ('x'.join(map(str, each)) for each in (value.shape, shape))
        raise UserError(f"{where}: '{name}' is {came}, a SphereFace-20 for 112x96 faces has {wanted} there.")
    return value.float().clone()
