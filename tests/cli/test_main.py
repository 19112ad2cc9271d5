"""What all commands share: the versions, --quiet, completion by the shell, and NO_COLOR."""

import itertools
import os
import platform
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner, Result

from cface_basicsr.cli.main import COMMANDS, app, main
from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from cface_basicsr.evaluation.features_file import write_features
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.network_file import build_network, save_atomically
from cface_basicsr.version import __version__
from tests.small_data import smooth_images, write_small_data

CALL = "import sys; sys.argv[0] = 'cface'; from cface_basicsr.cli.main import main; main()"


def test_the_version_comes_with_those_of_the_libraries_that_numbers_depend_on() -> None:
    lines = CliRunner().invoke(app, ['--version']).stdout.splitlines()
    versions = dict(line.split(' ', 1) for line in lines)
    assert lines[0] == f'cface-basicsr {__version__}'
    assert versions.pop('opencv').startswith(cv2.__version__)
    assert (versions['python'], versions['numpy'], versions['torch']) == (
        platform.python_version(), np.__version__, torch.__version__.partition('+')[0])
    assert set(versions) == {'cface-basicsr', 'python', 'numpy', 'torch', 'torchvision', 'basicsr'}


@pytest.fixture(scope='module')
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words of a command that reports progress, prints a table and writes files."""
    folder = tmp_path_factory.mktemp('features')
    write_small_data(folder / 'data')
    write_features(folder / 'x.npy', np.eye(12, 16, dtype=np.float32) + 1, read_identities(folder / 'data')[0])
    return ['evaluate', 'identification', str(folder / 'data'), '--features', f'X={folder / "x.npy"}', '--out',
            str(folder / 'table'), '--overwrite']


@pytest.mark.parametrize(('words', 'place'), [
    (['options', 'list'], 'cface_basicsr.options.shipped.shipped_files'),
    (['synth', '-n', '1', '-m', '1', '--out', 'x'],
     'cface_basicsr.data.generated_faces.tree.write_synthetic_faces')], ids=lambda words: words[0])
def test_ctrl_c_ends_a_command_in_one_line_that_names_the_signal(
        monkeypatch: pytest.MonkeyPatch, words: list[str], place: str) -> None:
    def interrupt(*args: Any, **more: Any) -> None:
        signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(place, interrupt)
    result = CliRunner().invoke(app, words)
    signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.stdout) == (130, '')
    assert result.stderr.strip() == 'cface: stopped by SIGINT. The same command continues, or starts again.'


WITH_OUT = [
    'synth -n 1 -m 1 --size 64 --out OUT', 'prepare --layout casia faces --scale 8 --crop none --size 64 --out OUT',
    'unpack data --out OUT', 'features data --recognizer net_r.pth --out OUT.npy', 'sheet data --out OUT.png',
    'generate data --weights net_g.pth --out OUT.lmdb', 'export net_g.pth --out OUT.onnx',
    'enhance face.png --weights net_g.pth --out OUT', 'options copy OUT',
    'evaluate identification data --recognizer net_r.pth --scale 8 --out OUT']
WRONG_PLACES = [(command, out) for command in WITH_OUT for out in ('file', 'file/below', 'n' * 300)
                if (command[:8], out) != ('evaluate', 'file')]  # which writes file.json


@pytest.fixture(scope='module')
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of photos, prepared data, two networks, and a face of 16x16 pixels."""
    folder = tmp_path_factory.mktemp('inputs')
    write_small_data(folder / 'data')
    write_synthetic_faces(folder / 'faces', TreeSettings(identities=2, images=2, size=64))
    for name, options in (('net_g', {'type': 'SRResNet', 'scale': 8, 'num_feat': 2, 'num_block': 1}),
                          ('net_r', {'type': 'SphereFace20', 'num_feat': 2, 'feature_length': 4, 'blocks': [1] * 4})):
        save_atomically({'params': build_network(options).state_dict(), 'network': options}, folder / f'{name}.pth')
    cv2.imwrite(str(folder / 'face.png'), smooth_images(1, seed=5, size=16)[0])
    return folder


@pytest.mark.parametrize(('command', 'out'), WRONG_PLACES, ids=lambda word: word.partition(' ')[0][:12])
def test_a_place_that_cannot_be_written_is_refused_by_every_command_in_words(
        inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, command: str,
        out: str) -> None:
    monkeypatch.chdir(inputs)
    words = command.replace('OUT', str(tmp_path / out)).split()
    if '/' not in out and len(out) < 255:
        Path(next(word for word in words if word.startswith(str(tmp_path)))).touch()
    (tmp_path / 'file').touch()
    monkeypatch.setattr(sys, 'argv', ['cface', *words])
    with pytest.raises(SystemExit) as ending:
        main()
    printed = capsys.readouterr().err
    said = printed[printed.index('cface: '):].strip()
    assert ending.value.code == 2 and 'Traceback' not in printed
    assert out.partition('/')[0][:20] in said and said.count('\n') <= 2 and len(said) <= len('cface: ') + 300
    assert 'is missing' not in said
    assert all(path.stat().st_size == 0 for path in tmp_path.rglob('*') if path.is_file())  # what was there stays


def call(*words: str) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result


def test_quiet_leaves_the_result_and_nothing_else_and_may_be_before_the_command_or_after_it(
        measured: list[str]) -> None:
    told = call(*measured)
    assert '[1/1] X' in told.stderr and 'table.json' in told.stderr
    for words in (['--quiet', *measured], [*measured, '-q']):
        quiet = call(*words)
        assert (quiet.stderr, quiet.stdout) == ('', told.stdout)
    assert call(*measured).stderr == told.stderr  # it does not last


def commands_of(group: Any, name: str = 'cface') -> dict[str, Any]:
    """Full name -> command, those of groups included."""
    found = {f'{name} {key}': command for key, command in group.commands.items()}
    inner = [commands_of(each, key) for key, each in found.items() if hasattr(each, 'commands')]
    return {key: each for key, each in found.items() if not hasattr(each, 'commands')} | {
        key: each for part in inner for key, each in part.items()}


def test_every_command_has_it() -> None:
    found = commands_of(get_command(app))
    assert {'cface prepare', 'cface options show'} <= set(found) and len(found) > len(COMMANDS)
    having = [name for name, command in found.items()
              if ['quiet'] == [each.name for each in command.params if '--quiet' in each.opts]]
    assert having == list(found)


def help_at(width: int, name: str) -> str:
    """The help of a command ('cface options show') in a terminal of that width."""
    result = CliRunner().invoke(app, [*name.split()[1:], '--help'], env={'COLUMNS': str(width)})
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= width
    return result.stdout


def paragraphs(text: str) -> list[list[str]]:
    """The lines of each paragraph before the examples; lists, which have words in columns, left out."""
    prose = '\n'.join(line.strip() for line in re.split(r'\n Examples?:|╭', text)[0].splitlines())
    found = [paragraph.splitlines() for paragraph in re.split(r'\n\n+', prose.strip())][1:]  # without the usage
    return [lines for lines in found if not any('  ' in line for line in lines)]


@pytest.mark.parametrize('name', ['cface', 'cface options', 'cface models', *commands_of(get_command(app))])
def test_help_is_whole_and_fills_its_lines_at_any_width(name: str) -> None:
    whole = help_at(1000, name)
    assert all(len(lines) == 1 for lines in paragraphs(whole))
    for width in (40, 80, 200):
        text = help_at(width, name)
        assert text.count('…') == whole.count('…')  # else something is cut off
        assert [' '.join(lines) for lines in paragraphs(text)] == [lines[0] for lines in paragraphs(whole)]
        for line, following in itertools.chain(*map(itertools.pairwise, paragraphs(text))):
            assert len(f'{line} {following.split()[0]}') > width - 2


def test_a_refusal_is_printed_even_then(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, '-c', CALL, '--quiet', 'report', str(tmp_path / 'none.json')],
                          capture_output=True, text=True)
    assert done.returncode == 2 and 'none.json' in done.stderr


@pytest.mark.parametrize(('line', 'found'), [('cface pre', 'prepare'), ('cface prepare --hold', '--holdout'),
                                             ('cface options sh', 'show')])
def test_the_shell_completes_commands_and_options(line: str, found: str) -> None:
    done = subprocess.run([sys.executable, '-c', CALL], capture_output=True, text=True, env={
        **os.environ, '_CFACE_COMPLETE': 'complete_bash', 'COMP_WORDS': line, 'COMP_CWORD': str(line.count(' '))})
    assert done.stdout.split() == [found], done.stderr


def colours_of_help(**variables: str) -> list[str]:
    """The colours in what `cface --help` writes to a terminal."""
    settings = {name: value for name, value in os.environ.items() if name not in ('NO_COLOR', 'CI')}
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, '-c', CALL, '--help'], stdout=theirs, env={
        **settings, 'TERM': 'xterm-256color', **variables})
    os.close(theirs)
    text = b''
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait() == 0 and b'prepare' in text
    return re.findall(rb'\x1b\[(?:\d+;)*(?:[34][0-8]|9[0-7])(?:;\d+)*m', text)


def test_nothing_is_coloured_where_no_color_is_set() -> None:
    assert colours_of_help()
    assert colours_of_help(NO_COLOR='1') == []
