"""`cface prepare` as people type it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.cli.data_sets.prepare import parse_size, split_scales
from cface_basicsr.cli.main import app, main
from cface_basicsr.errors import UserError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ('a/1.png', 'a/2.2.png', 'b/1.png'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(name)).integers(0, 256, (130, 130, 3), np.uint8)
        Image.fromarray(noise).save(path)
    (tmp_path / 'photos' / 'b' / '2.jpg').write_text('no image')
    return tmp_path / 'photos'


def stores(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob('*.lmdb'))


def test_the_command_of_the_readme_makes_all_scales(source: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    result = CliRunner().invoke(app, ['prepare', '--layout', 'casia', str(source), '--out', str(out),
                                      '--scale', '2', '4', '8', '--crop', 'center'])
    assert result.exit_code == 0, result.output
    assert stores(out) == ['hr.lmdb', 'lr_x2.lmdb', 'lr_x4.lmdb', 'lr_x8.lmdb']
    assert '3 images of 2 identities' in result.stdout
    assert 'b/2.jpg: not an image' in result.stdout and 'a/2.2.png -> a/2%2E2' in result.stdout


def test_json_says_the_same_for_programs(source: Path, tmp_path: Path) -> None:
    words = ['prepare', str(source), '--out', str(tmp_path / 'out'), '--scale', '8', '--holdout', '1', '--json']
    result = json.loads(CliRunner().invoke(app, words).stdout)
    assert set(result['parts']) == {'train', 'test'} and result['parts']['test']['identities'] == 1
    assert result['rejected'] == [['b/2.jpg', 'not an image']] and result['renamed'] == [['a/2%2E2', 'a/2.2.png']]
    assert json.loads(CliRunner().invoke(app, words).stdout)['already_finished']


@pytest.mark.parametrize(('words', 'values', 'scales'), [
    (['photos', '4', '8'], ['2'], (2, 4, 8)), (['4', '8', 'photos'], ['2'], (2, 4, 8)),
    (['photos'], ['2', '8'], (2, 8)), (['photos'], ['2,4'], (2, 4)), (['photos'], ['2 4'], (2, 4)),
    (['./4'], ['8', '8'], (8,)), (['4'], [], ())])
def test_every_spelling_of_scales_is_understood(words: list[str], values: list[str], scales: tuple[int, ...]) -> None:
    assert split_scales(words, values) == (next(w for w in words if not w.isdigit() or not values), scales)


@pytest.mark.parametrize(('words', 'values', 'message'), [
    (['a', 'b'], ['2'], 'one source folder, got 2: a b'), (['photos', '4', '8'], [], 'one source folder, got 3'),
    (['photos'], ['x2'], "whole numbers such as 2 4 8, got 'x2'"), (['4'], ['8'], 'got 0')])
def test_what_cannot_be_told_apart_is_refused(words: list[str], values: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_scales(words, values)


def test_a_size_is_a_side_or_height_and_width() -> None:
    assert [parse_size(text) for text in ('128', '112x96', '112x112')] == [128, (112, 96), 112]
    for text in ('112,96', 'x96', '-128', ''):
        with pytest.raises(UserError, match='HEIGHTxWIDTH'):
            parse_size(text)


def test_landmarks_in_a_file_need_no_detector(source: Path, tmp_path: Path) -> None:
    (tmp_path / 'points.csv').write_text('a/1.png,40,50,80,50,60,70,45,90,75,90\n')
    result = CliRunner().invoke(app, ['prepare', '--layout', 'folders', str(source), '--out', str(tmp_path / 'out'),
                                      '--crop', 'align', '--landmarks', str(tmp_path / 'points.csv'), '--template',
                                      'sphereface', '--size', '112x96'])
    assert result.exit_code == 0, result.output
    assert 'landmarks for 1 images from' in result.stdout
    assert 'rejected (no landmarks in points.csv: 3): 3' in result.stdout
    settings = json.loads((tmp_path / 'out' / 'manifest.json').read_text())['settings']
    assert (settings['size'], settings['template']) == ([112, 96], 'sphereface')


@pytest.mark.parametrize(('out', 'reason'), [
    ('file', 'Not a directory. Choose another name: a file is in the way of a folder.'),
    ('file/below', 'Not a directory. Choose another name: a file is in the way of a folder.'),
    ('n' * 300, 'File name too long. Choose a shorter name.'),
    ('loop/out', 'Too many levels of symbolic links.')])
def test_a_place_that_cannot_be_written_is_named_with_the_systems_reason(
        source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        out: str, reason: str) -> None:
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'loop').symlink_to('loop')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['cface', 'prepare', str(source), '--out', out, '--scale', '8'])
    with pytest.raises(SystemExit) as caught:
        main()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('cface:')]
    assert caught.value.code == 2 and len(lines) == 1
    assert lines[0].startswith(f"cface: '{out[:50]}") and lines[0].endswith(f"': {reason}")


def test_every_seed_is_a_whole_number_from_0() -> None:
    """NumPy takes no other, and would end in a traceback."""
    commands = typer.main.get_command(app).commands
    seeds = {name: option for name, command in commands.items() for option in command.params if 'seed' in option.name}
    assert {'prepare', 'evaluate', 'synth'} <= seeds.keys()
    for name, option in seeds.items():
        result = CliRunner().invoke(app, [name, option.opts[0], '-1'])
        assert result.exit_code == 2 and 'or equal to 0' in result.output, name
