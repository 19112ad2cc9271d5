"""The text beside a recognizer's file: where it stands, and that it belongs to the recognizer's identity."""

from pathlib import Path

import pytest

from cface_basicsr.archs.eats_file import eats_file, read_eats, recognizer_hash
from cface_basicsr.checkpoints import file_hash
from cface_basicsr.errors import UserError


def test_it_stands_beside_the_file_under_its_name(tmp_path: Path) -> None:
    assert eats_file('weights/resnet.v2.onnx') == Path('weights/resnet.v2.eats.yml')
    assert read_eats(tmp_path / 'alone.onnx', ['channels']) == {}
    (tmp_path / 'net.eats.yml').write_text('channels: bgr\nstd: 255\n')
    assert read_eats(tmp_path / 'net.onnx', ['channels', 'std']) == {'channels': 'bgr', 'std': 255}
    with pytest.raises(UserError, match="net.eats.yml.: unknown key 'std'; valid: channels"):
        read_eats(tmp_path / 'net.onnx', ['channels'])


def test_file_and_text_are_told_from_the_file_alone_and_from_another_text(tmp_path: Path) -> None:
    (tmp_path / 'net.onnx').write_bytes(b'network')
    seen = [recognizer_hash(tmp_path / 'net.onnx')]
    assert seen == [file_hash(tmp_path / 'net.onnx')]
    for text in ('channels: bgr', 'channels: rgb'):
        (tmp_path / 'net.eats.yml').write_text(text)
        seen.append(recognizer_hash(tmp_path / 'net.onnx'))
    assert len(set(seen)) == 3 and all(len(each) == 12 for each in seen)
