"""A super-resolution network in an ONNX file, run by ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cface_basicsr.errors import UserError, check_file, describe_error
from cface_basicsr.files.json_file import parse_json
from cface_basicsr.files.network_file import LED_BY, template_in

_LARGEST_SIDE = 1024
"""Of images that a graph insists on: one of them is made to see by how much it enlarges."""


class OnnxNetwork(nn.Module):
    """Low-resolution images to larger ones, by the graph of an ONNX file; it has no weights that torch could train.

    Args:
        path: of a file with one float input (B, 3, h, w) in [0, 1] and one output; float16 graphs are fed float16.

    Attributes:
        input_side: a height in pixels that it takes: the one of the graph, or 16 where that is free.
        template: how the faces were cropped that it was trained on, by the file's metadata; None where it lacks that.
        led_by: marks of the recognizers that led its losses, by the metadata that `cface export` writes; else none.

    Shape: (B, 3, h, w) in [0, 1] to (B, 3, s h, s w), on the CPU. A graph for one image at a time is given one.

    Raises:
        UserError: ONNX Runtime is missing, or the file is missing, damaged, or takes something else than images.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"'{path}' needs one more library, ONNX Runtime: pip install onnxruntime") from error
        check_file(path, 'Expected an .onnx file of a super-resolution network.', 'ONNX file')
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session = onnxruntime.InferenceSession(str(path), settings, providers=['CPUExecutionProvider'])
        except Exception as error:  # its own kinds, which share no base class
            raise UserError(f"'{path}' cannot be read as an ONNX network ({describe_error(error)}).") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(outputs) != 1 or len(shape) != 4 or isinstance(shape[1], int) and \
                shape[1] != 3 or inputs[0].type not in ('tensor(float)', 'tensor(float16)'):
            raise UserError(f"'{path}' takes {len(inputs)} input(s), the first one {inputs[0].type} {shape}; expected "
                            'one float input (batch, 3, height, width) and one output.')
        self.input, self.one_at_a_time = inputs[0].name, shape[0] == 1
        self.input_side = shape[2] if isinstance(shape[2], int) else 16
        if not 1 <= self.input_side <= _LARGEST_SIDE:
            raise UserError(f"'{path}' takes images with {self.input_side} rows of pixels; expected 1 to "
                            f'{_LARGEST_SIDE}.')
        entries = self.session.get_modelmeta().custom_metadata_map
        self.template = template_in(entries, path)
        self.led_by: list[str] = parse_json(entries.get(LED_BY, '[]'), f"'{path}', entry '{LED_BY}',", list[str])
        self.kind = np.float16 if inputs[0].type == 'tensor(float16)' else np.float32

    def forward(self, x: Tensor) -> Tensor:
        images = x.detach().cpu().numpy().astype(self.kind)
        parts = np.split(images, len(images)) if self.one_at_a_time else [images]
        made = np.concatenate([self.session.run(None, {self.input: part})[0] for part in parts])
        return torch.from_numpy(made.astype(np.float32)).to(x.device)
