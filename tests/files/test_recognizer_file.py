"""A recognizer is identified by all the files that it consists of."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cface_basicsr.archs.onnx_recognizer_arch import OnnxRecognizer
from cface_basicsr.errors import UserError
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.recognizer_file import recognizer_files, recognizer_hash
from tests.onnx_file import write_onnx_recognizer


def with_weights_apart(path: Path) -> Path:
    """The tiny network with its weights in a separate file."""
    proto = onnx.load(str(write_onnx_recognizer(path, size=32, feature_length=4)))
    onnx.save(proto, str(path), save_as_external_data=True, location=f'{path.name}.data', size_threshold=0)
    return path


def test_a_file_with_settings_differs_from_the_bare_file_and_from_other_settings(tmp_path: Path) -> None:
    (tmp_path / 'net.pth').write_bytes(b'network')
    seen = [recognizer_hash(tmp_path / 'net.pth')]
    assert seen == [file_hash(tmp_path / 'net.pth')]
    for text in ('channels: bgr', 'channels: rgb'):
        (tmp_path / 'net.input.yml').write_text(text)
        seen.append(recognizer_hash(tmp_path / 'net.pth'))
    assert len(set(seen)) == 3 and all(len(each) == 12 for each in seen)


def test_weights_next_to_an_onnx_file_are_read_and_belong_to_its_identity(tmp_path: Path) -> None:
    whole, apart = write_onnx_recognizer(tmp_path / 'whole.onnx', size=32, feature_length=4), tmp_path / 'r.onnx'
    with_weights_apart(apart)
    faces = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(OnnxRecognizer(file=str(apart))(faces), OnnxRecognizer(file=str(whole))(faces))
    data = tmp_path / 'r.onnx.data'
    assert recognizer_files(apart) == [apart, data] and recognizer_files(whole) == [whole]
    before, of_file = recognizer_hash(apart), file_hash(apart)
    data.write_bytes((np.frombuffer(data.read_bytes(), np.uint8) ^ 1).tobytes())  # other weights, the same graph
    assert recognizer_hash(apart) != before and file_hash(apart) == of_file


def test_missing_weights_next_to_an_onnx_file_are_named(tmp_path: Path) -> None:
    path = with_weights_apart(tmp_path / 'r.onnx')
    (tmp_path / 'r.onnx.data').unlink()
    with pytest.raises(UserError, match="keeps its weights in 'r.onnx.data', which is missing"):
        OnnxRecognizer(file=str(path))
