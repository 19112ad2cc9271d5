"""dlib's face network written out layer by layer from its description, with the names of dlib's own layers."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LAYERS = ('conv32_down', 'conv32_1', 'conv32_2', 'conv32_3', 'conv64_down', 'conv64_1', 'conv64_2', 'conv64_3',
          'conv128_down', 'conv128_1', 'conv128_2', 'conv256_down', 'conv256_1', 'conv256_2', 'conv256_down_out')
MEAN = (122.782, 117.001, 104.298)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Name -> float32 tensor: eight bytes of length, a table in JSON, then the half-precision numbers."""
    raw = path.read_bytes()
    end = 8 + struct.unpack('<Q', raw[:8])[0]
    table = json.loads(raw[8:end])
    table.pop('__metadata__', None)
    return {name: torch.from_numpy(np.frombuffer(raw[end:][slice(*entry['data_offsets'])], np.float16)
                                   .reshape(entry['shape']).astype(np.float32)) for name, entry in table.items()}


def forward(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Feature (1, 128) of one RGB face (1, 3, 150, 150), values 0..255."""
    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        x = functional.conv2d(x, weights[f'{name}.conv.filters'], weights[f'{name}.conv.bias'], stride, padding)
        return x * weights[f'{name}.scale.weights'].reshape(1, -1, 1, 1) \
            + weights[f'{name}.scale.biases'].reshape(1, -1, 1, 1)

    x = torch.stack([(x[:, channel] - MEAN[channel]) / 256 for channel in range(3)], dim=1)
    x = functional.max_pool2d(functional.relu(conv(x, 'conv32_down', 2, 0)), 3, 2)
    for name in LAYERS[1:]:
        down = 'down' in name
        main = functional.relu(conv(x, f'{name}.conv1', 2 if down else 1, 0 if down else 1))
        main = conv(main, f'{name}.conv2', 1, 1)
        shortcut = functional.avg_pool2d(x, 2, 2) if down else x
        whole = torch.zeros(1, main.shape[1], shortcut.shape[2], shortcut.shape[3])
        whole[:, :, :main.shape[2], :main.shape[3]] = main
        whole[:, :shortcut.shape[1]] += shortcut
        x = functional.relu(whole)
    return x.mean((2, 3)) @ weights['fc']
