"""scripts/convert_recognizer.py: published weights become a file that says by itself what it holds."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.recognizers.load import load_recognizer
from tests.references.published_sphereface20 import made_up_weights
from tests.tiny_stages import REPOSITORY


@pytest.fixture(scope='module')
def script() -> ModuleType:
    path = REPOSITORY / 'scripts/convert_recognizer.py'
    assert path.stat().st_mode & 0o111
    spec = importlib.util.spec_from_file_location('convert_recognizer', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> int:
    monkeypatch.setattr(sys, 'argv', ['convert_recognizer.py', *map(str, arguments)])
    return script.main()


def test_the_converted_file_gives_the_features_of_the_published_one(
        script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    torch.save(made_up_weights(), tmp_path / 'sphere20a.pth')
    assert run(script, monkeypatch, tmp_path / 'sphere20a.pth', tmp_path / 'ours.pth') == 0
    before, after = load_recognizer(tmp_path / 'sphere20a.pth'), build_network_from_file(tmp_path / 'ours.pth')
    faces = torch.rand(2, 3, 112, 96)
    assert torch.equal(before(faces), after(faces)) and before.eats == after.eats
    section = yaml.safe_load(capsys.readouterr().out.splitlines()[1])['network_r']
    assert section == {'type': 'SphereFace20', 'input_size': [112, 96], 'num_feat': 4, 'feature_length': 6,
                       'channels': 'bgr', 'template': 'sphereface'}


@pytest.mark.parametrize(('source', 'out', 'message'), [
    ('none.pth', 'out.pth', 'none.pth. is missing'), ('theirs.pth', 'theirs.pth', 'exists. Give another name'),
    ('theirs.pth', 'nowhere/out.pth', 'the folder .*nowhere. is missing'),
    ('ours.pth', 'out.pth', 'says already which network it holds; there is nothing to convert')])
def test_what_cannot_be_converted_is_said_with_exit_code_2(
        script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
        source: str, out: str, message: str) -> None:
    torch.save(made_up_weights(), tmp_path / 'theirs.pth')
    torch.save({'params': {}, 'network': {'type': 'SphereFace20'}}, tmp_path / 'ours.pth')
    assert run(script, monkeypatch, tmp_path / source, tmp_path / out) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith('error: ') and re.search(message, printed.err)
    assert not (tmp_path / 'out.pth').exists() and not printed.out
