"""The settings file of a recognizer: its name, and what it may say."""

from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.recognizer_file import input_file, read_input_spec


def test_it_is_next_to_the_file_under_the_same_name(tmp_path: Path) -> None:
    assert input_file('weights/resnet.v2.onnx') == Path('weights/resnet.v2.input.yml')
    assert read_input_spec(tmp_path / 'alone.onnx', ['channels']) == {}
    (tmp_path / 'net.input.yml').write_text('channels: bgr\nstd: 255\n')
    assert read_input_spec(tmp_path / 'net.onnx', ['channels', 'std']) == {'channels': 'bgr', 'std': 255}
    with pytest.raises(UserError, match="net.input.yml.: unknown key 'std'; valid: channels"):
        read_input_spec(tmp_path / 'net.onnx', ['channels'])
