"""Super-resolution networks in ONNX files."""

from pathlib import Path

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import scale_of
from cface_basicsr.zoo.onnx_network import OnnxNetwork

pytest.importorskip('onnxruntime', reason='ONNX networks need ONNX Runtime')
write_onnx_network = pytest.importorskip('tests.onnx_file').write_onnx_network


def test_a_network_that_takes_any_side_enlarges_by_two(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx_network(tmp_path / 'sr.onnx'))
    assert scale_of(network) == 2 and network(torch.rand(2, 3, 5, 5)).shape == (2, 3, 10, 10)


@pytest.mark.parametrize('side', [1025, 10 ** 6])
def test_a_side_of_which_one_image_would_fill_the_memory_is_refused(tmp_path: Path, side: int) -> None:
    with pytest.raises(UserError, match=f"sr.onnx' takes images with {side} rows of pixels; expected 1 to 1024"):
        OnnxNetwork(write_onnx_network(tmp_path / 'sr.onnx', side))
