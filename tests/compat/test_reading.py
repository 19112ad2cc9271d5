"""BasicSR's command line and option files: numbers, doubled keys, merges, and changes after --force_yml."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cface_basicsr.compat.reading import given_options
from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from cface_basicsr.register import take_arguments
from tests.compat.tiny_training import REPOSITORY, holds_by_row, patched, run, tiny_options, write_options

TEXT = 'a: 1e2\nb: !!float 5e3\nc: [1e-4, "1e2"]\nd: &d {x: 1, y: 2.5e1}\ne: {<<: *d, x: 3}\nf: 010\ng: 1:30\n'
CONTENT = {'a': 100, 'b': 5000, 'c': [1e-4, '1e2'], 'd': {'x': 1, 'y': 25.0}, 'e': {'x': 3, 'y': 25.0}, 'f': '010',
           'g': '1:30'}


def read_by_basicsr(text: str) -> Any:
    from basicsr.utils import options
    return yaml.load(text, Loader=options.ordered_yaml()[0])


def test_basicsr_reads_numbers_and_merges_as_we_do(tmp_path: Path) -> None:
    def check() -> None:
        assert read_by_basicsr(TEXT) == CONTENT

    (tmp_path / 'x.yml').write_text(TEXT)
    assert read_option_file(tmp_path / 'x.yml') == CONTENT
    holds_by_row(check, 'yaml-reader', defect=yaml.YAMLError)


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'options').rglob('*.yml')), ids=lambda path: path.stem)
def test_both_read_every_file_alike(path: Path) -> None:
    with patched():
        theirs = read_by_basicsr(path.read_text(encoding='utf-8'))
    assert theirs == read_option_file(path) | ({'plugin': 'cface_basicsr'} if 'plugin' in theirs else {})


def test_basicsr_refuses_a_doubled_key_too() -> None:
    with patched(), pytest.raises(UserError, match="line 3: 'x' is given twice in one section, first in line 2"):
        read_by_basicsr('a:\n  x: 1\n  x: 2\n')


def parse(path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """What BasicSR's parser makes of a command line."""
    import basicsr.train
    monkeypatch.setattr(sys, 'argv', ['train.py', '-opt', str(path), *arguments])
    return basicsr.train.parse_options(str(path.parent), is_train=True)[0]


def test_what_the_parser_stumbles_over_is_refused_before(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = tiny_options(pictures)
    del options['path']
    path = write_options(options, tmp_path / 'x.yml')

    def check() -> None:
        with pytest.raises(UserError, match="option 'path' is missing"):
            parse(path, monkeypatch)

    holds_by_row(check, 'command-line', defect=KeyError)


def test_a_plugin_line_that_names_no_module_is_refused_with_the_right_one(
        pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_options(tiny_options(pictures), tmp_path / 'x.yml')
    path.write_text(path.read_text().replace('cface_basicsr.register', 'cface_basicsr.registr'))
    with patched(), pytest.raises(UserError, match="line 1: cannot find module 'cface_basicsr.registr'") as caught:
        parse(path, monkeypatch)
    assert str(caught.value).endswith('must be `plugin: !!python/name:cface_basicsr.register.NAME`.')


def test_a_recipe_is_told_apart_from_the_options_of_one_training(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with patched(), pytest.raises(UserError, match='this file is a recipe.*: `cface train FILE` runs it'):
        parse(REPOSITORY / 'options/cface_x8.yml', monkeypatch)


@pytest.mark.parametrize('written', [['-opt', '{}'], ['-opt={}']])
def test_a_shipped_file_is_found_however_the_option_is_written(
        written: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.utils import options
    monkeypatch.setattr(options, 'ordered_yaml', options.ordered_yaml)  # what is set there goes behind the test
    arguments = ['train.py', *(word.format('baselines/edsr_x8.yml') for word in written)]
    take_arguments(arguments)
    assert arguments == ['train.py', *(word.format(REPOSITORY / 'options/baselines/edsr_x8.yml') for word in written)]


@pytest.mark.parametrize(('entry', 'message'), [
    ('trian:total_iter=5', "no section 'trian'"), ('name:x=5', "no section 'name'"),
    ('total_iter', 'expected SECTION:KEY='), ('name=a=b', 'expected SECTION:KEY='),
    ('train:x=[1', r'\[1 is not a list'), ('name=a/b', 'the name of a folder'),
    ('num_gpu=none', "option 'num_gpu'"), ('manual_seed=[]', "option 'manual_seed'"), ('path=5', "option 'path'")])
def test_a_change_after_force_yml_is_checked_as_if_it_were_in_the_file(
        entry: str, message: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_options(tiny_options(pictures), tmp_path / 'x.yml')
    with patched():
        with pytest.raises(UserError, match=message):
            parse(path, monkeypatch, '--force_yml', entry)
        assert parse(path, monkeypatch, '--force_yml', 'train:total_iter=5', 'name=b')['train']['total_iter'] == 5
        assert given_options()['name'] == 'b'


def test_other_command_lines_name_no_option_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ['-o', 'addopts=-q'], ['-opt']):
        monkeypatch.setattr(sys, 'argv', ['pytest', *arguments])
        assert given_options() is None


# ---------------------------------------------------------------------------------- BasicSR's own programs, plugin line

PARSE = "from basicsr.utils.options import parse_options; print(parse_options('.', True)[0]['train'])"


def parsed_by_basicsr_alone(path: Path) -> subprocess.CompletedProcess[str]:
    """BasicSR's parser in a new process, in which only the plugin line loads the plugin."""
    return run([sys.executable, '-c', PARSE, '-opt', path.name], path.parent)


def test_the_reading_that_the_plugin_line_interrupts_goes_on_with_numbers(pictures: Path, tmp_path: Path) -> None:
    path = write_options(tiny_options(pictures), tmp_path / 'x.yml')
    path.write_text(path.read_text().replace('lr: 0.01', 'lr: 1e-2').replace('total_iter: 7', 'total_iter: 5e3'))
    done = parsed_by_basicsr_alone(path)
    assert done.returncode == 0, done.stderr
    assert "'lr': 0.01" in done.stdout and "'total_iter': 5000" in done.stdout


def test_a_key_doubled_at_the_top_ends_basicsrs_own_program_in_one_line(pictures: Path, tmp_path: Path) -> None:
    path = write_options(tiny_options(pictures), tmp_path / 'x.yml')
    line = len(path.read_text().splitlines()) + 1
    path.write_text(path.read_text() + 'train: {total_iter: 3}\n')
    done = parsed_by_basicsr_alone(path)
    assert done.returncode == 2
    assert f"cface: 'x.yml', line {line}: 'train' is given twice in one section, first" in done.stderr
    assert 'Traceback' not in done.stderr
