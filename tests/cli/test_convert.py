"""`cface convert`: published weights become a file that says by itself what it holds."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import build_network_from_file
from cface_basicsr.files.recognizer_file import recognizer_marks
from cface_basicsr.recognizers.load import load_recognizer
from tests.references.published_sphereface20 import made_up_weights


def convert(source: Path, out: Path) -> Any:
    return CliRunner().invoke(app, ['convert', str(source), str(out)])


def test_the_converted_file_gives_the_features_of_the_published_one(tmp_path: Path) -> None:
    torch.save(made_up_weights(), tmp_path / 'sphere20a.pth')
    done = convert(tmp_path / 'sphere20a.pth', tmp_path / 'ours.pth')
    assert done.exit_code == 0, done.output
    before, after = load_recognizer(tmp_path / 'sphere20a.pth'), build_network_from_file(tmp_path / 'ours.pth')
    faces = torch.rand(2, 3, 112, 96)
    assert torch.equal(before(faces), after(faces)) and before.input_spec == after.input_spec
    assert recognizer_marks(tmp_path / 'sphere20a.pth') < recognizer_marks(tmp_path / 'ours.pth')
    section = yaml.safe_load(done.stdout.splitlines()[1])['network_r']
    assert section == {'type': 'SphereFace20', 'input_size': [112, 96], 'num_feat': 4, 'feature_length': 6,
                       'channels': 'bgr', 'template': 'sphereface'}


@pytest.mark.parametrize(('source', 'out', 'message'), [
    ('none.pth', 'out.pth', 'none.pth. is missing'), ('theirs.pth', 'theirs.pth', 'exists. Give another name'),
    ('theirs.pth', 'nowhere/out.pth', 'the folder .*nowhere. is missing'),
    ('ours.pth', 'out.pth', 'already says which network it holds; there is nothing to convert')])
def test_what_cannot_be_converted_is_refused_and_nothing_is_written(
        tmp_path: Path, source: str, out: str, message: str) -> None:
    torch.save(made_up_weights(), tmp_path / 'theirs.pth')
    torch.save({'params': {}, 'network': {'type': 'SphereFace20'}}, tmp_path / 'ours.pth')
    done = convert(tmp_path / source, tmp_path / out)
    assert isinstance(done.exception, UserError) and not done.stdout
    with pytest.raises(UserError, match=message):
        raise done.exception
    assert not (tmp_path / 'out.pth').exists()
