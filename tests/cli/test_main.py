"""What all commands share: the versions, --quiet, completion by the shell, and NO_COLOR."""

import itertools
import os
import platform
import pty
import re
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

from cface_basicsr.cli.main import COMMANDS, app
from cface_basicsr.evaluation.features_file import write_features
from cface_basicsr.files.identities import read_identities
from cface_basicsr.version import __version__
from tests.small_data import write_small_data

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
