"""Installed from its wheel, in a new environment and an empty folder, the plugin does what its pages say."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.compat.tiny_training import run
from tests.test_docs import PAGES, text_of

ROOT = Path(__file__).parents[1]
SOURCES = ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'cface_basicsr', 'options', 'models')
BASICSR = r'python (?:basicsr/|-m (?:basicsr|cface_basicsr)\.)(?:train|test)(?:\.py)? -opt (options/\S+\.yml)'


def build_wheel(folder: Path) -> Path:
    """The wheel of this tree, built from a copy: a build leaves folders in its sources."""
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    done = run([sys.executable, '-m', 'pip', '-q', 'wheel', '--no-deps', '--no-build-isolation', '--no-index',
                '-w', str(folder / 'dist'), str(folder)], folder)
    assert done.returncode == 0, done.stderr
    return next((folder / 'dist').glob('cface_basicsr-*.whl'))


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp('sources'))


@pytest.fixture(scope='module')
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that has the wheel; what the plugin depends on is taken from this one."""
    folder = tmp_path_factory.mktemp('wheel')
    venv.create(folder / 'venv', with_pip=False, symlinks=True)
    python = folder / 'venv/bin/python'
    # `run` would put this tree on the path: pip takes the metadata that an editable install left there as installed.
    outside = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    subprocess.run([sys.executable, '-m', 'pip', '-q', '--python', str(python), 'install', '--no-deps', '--no-index',
                    str(wheel)], cwd=folder, env=outside, check=True)
    packages = next((folder / 'venv/lib').glob('python3*/site-packages'))
    (packages / 'others.pth').write_text(sysconfig.get_path('purelib') + '\n')  # without its own .pth files
    return python


def call(python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(python), '-I', *words], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})


def lines_of_the_pages() -> list[str]:
    """Every command line in a block of code of the pages, without usage lines and what a shell does with it."""
    texts = [text_of(page).replace('\\\n', '') for page in PAGES if page.name != 'CONTRIBUTING.md']
    lines = {re.split(r'\s+[#>|…]', line)[0] for text in texts
             for line in re.findall(r'^ {4,}(?:\.venv/bin/)?(cface (?!-)\w.*)$', text, re.M)}
    return sorted(line for line in lines if '[' not in line)


@pytest.mark.slow
def test_the_wheel_has_the_networks_of_the_package_and_none_that_only_research_may_use(wheel: Path) -> None:
    packed = {name.removeprefix('cface_basicsr/') for name in zipfile.ZipFile(wheel).namelist()}
    networks = {str(path.relative_to(ROOT / 'cface_basicsr')) for path in (ROOT / 'cface_basicsr').rglob('*')
                if path.suffix in ('.safetensors', '.pth')}
    assert networks == {name for name in packed if name.endswith(('.safetensors', '.pth'))}
    cards = {f'zoo/networks/{path.name}' for path in (ROOT / 'cface_basicsr/zoo/networks').glob('*.yml')}
    assert cards <= packed


@pytest.mark.slow
def test_every_command_line_of_the_pages_gets_past_its_options_in_an_empty_folder(python: Path,
                                                                                  tmp_path: Path) -> None:
    lines = lines_of_the_pages()
    assert len(lines) > 50
    (tmp_path / 'lines.json').write_text(json.dumps(lines))
    (tmp_path / 'empty').mkdir()
    done = call(python, tmp_path / 'empty', str(ROOT / 'tests/command_lines.py'), str(tmp_path / 'lines.json'))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found['package']).is_relative_to(python.parents[1])
    endings = dict(zip(lines, found['endings'], strict=True))
    assert endings['cface options show options/baselines/edsr_x8.yml --scale 4'] == 'done'
    assert endings['cface benchmark options/benchmark/paper.yml --plan'] == 'done'
    lacks_a_file = r'refused: .*(missing|has no hr\.lmdb|is not a (folder|BasicSR)|found neither)'
    assert {line: end for line, end in endings.items()
            if end not in ('done', 'work begins') and not re.match(lacks_a_file, end)} == {}
    assert [line for line, end in endings.items() if 'option file' in end] == []
    assert {path.name for path in (tmp_path / 'empty').iterdir()} == {'options'}  # of `cface options copy options`


@pytest.mark.slow
def test_the_option_files_that_basicsrs_own_commands_are_given_are_there_after_a_copy(python: Path,
                                                                                      tmp_path: Path) -> None:
    named = {path for page in PAGES for path in re.findall(BASICSR, text_of(page))}
    assert len(named) > 2
    done = call(python, tmp_path, '-m', 'cface_basicsr', 'options', 'copy', 'options')
    assert done.returncode == 0, done.stderr
    assert [path for path in named if not (tmp_path / path).is_file()] == []
    assert not list(tmp_path.rglob('*.py'))


@pytest.mark.slow
@pytest.mark.parametrize('words', [['cface_basicsr.train', '-opt', 'options/cface_stage1.yml'],
                                   ['cface_basicsr.test', '-opt', 'cface_stage2.yml'],
                                   ['cface_basicsr', 'train', 'baselines/edsr_x8.yml']])
def test_an_option_file_is_found_without_a_copy(python: Path, tmp_path: Path, words: list[str]) -> None:
    done = call(python, tmp_path, '-m', *words)
    assert done.returncode == 2, done.stderr
    assert re.search(r"^cface: .*'datasets/casia/\S+' is missing", done.stderr, re.M)
    assert not list(tmp_path.rglob('*.yml'))
