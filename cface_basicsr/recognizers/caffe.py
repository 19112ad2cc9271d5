"""The weights in a Caffe network file (.caffemodel), read by the library protobuf; Caffe itself is not needed.

Only what holds weights is described to it: layers, their names and their blobs. Everything else is skipped.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cface_basicsr.errors import UserError, check_file

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
    path = check_file(path, 'Expected a .caffemodel file.', 'Caffe network file')
    net = _net_class()()
    try:
        net.ParseFromString(path.read_bytes())
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
    if values.size != int(np.prod(shape)):
        raise UserError(f"'{path}': a blob of layer '{layer}' declares {'x'.join(map(str, shape))} numbers and has "
                        f'{values.size}. The file is damaged: copy it again.')
    return torch.from_numpy(values).reshape(shape)
