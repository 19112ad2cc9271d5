"""What `make` relies on: bounds and constraints that agree, scripts that run, and BasicSR's build on Python 3.13."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.compat.test_distributed import free_port
from tests.compat.tiny_training import tiny_options, weights, write_options

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / 'scripts').glob('*.sh')), *sorted((ROOT / 'scripts/cluster').glob('*.slurm')),
           ROOT / '.ci' / 'run']
PYTHONS = ('3.10', '3.11', '3.12', '3.13')


def requirements() -> list[Requirement]:
    """Of pyproject.toml, the extra `test` included; read by pattern, as Python 3.10 has no TOML reader."""
    text = (ROOT / 'pyproject.toml').read_text()
    lists = re.findall(r'^(?:dependencies|test) = \[\n(.*?)^\]', text, re.DOTALL | re.MULTILINE)
    return [Requirement(line) for each in lists for line in re.findall(r'"(.+)"', each)]


def constraints(python: str) -> dict[str, str]:
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith('#')]
    here = [each for each in found if each.marker is None or each.marker.evaluate({'python_version': python})]
    return {each.name.lower(): str(each.specifier).removeprefix('==') for each in here}


@pytest.mark.parametrize('python', PYTHONS)
def test_each_dependency_has_a_tested_version_within_its_bounds(python: str) -> None:
    tested, wanted = constraints(python), requirements()
    assert len(wanted) > 20
    for each in wanted:
        assert each.specifier, f'{each.name} has no lower bound'
        assert each.specifier.contains(tested[each.name.lower()]), each


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_each_script_is_executable_and_parses(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(['bash', '-n', str(script)]).returncode == 0


def test_an_unsuited_python_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / 'python3.9'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.18\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run([str(ROOT / 'scripts/install.sh'), str(old), str(tmp_path / 'venv')], capture_output=True,
                          text=True)
    assert done.returncode == 2
    assert "expected Python 3.10 to 3.13" in done.stderr and 'Python 3.9.18' in done.stderr
    assert not (tmp_path / 'venv').exists()


def test_basicsrs_way_to_read_its_version_works_in_its_build() -> None:
    spec = importlib.util.spec_from_file_location('build_help', ROOT / 'scripts/basicsr_build/sitecustomize.py')
    build_help = importlib.util.module_from_spec(spec)
    before = __builtins__['exec']
    spec.loader.exec_module(build_help)
    __builtins__['exec'] = build_help._exec_into_the_frame
    try:
        def get_version() -> str:  # as in BasicSR's setup.py
            exec(compile("__version__ = '1.4.2'", 'version.py', 'exec'))
            return locals()['__version__']

        assert get_version() == '1.4.2'
        names: dict[str, int] = {}
        exec('a = 1', names)
        assert names['a'] == 1
    finally:
        __builtins__['exec'] = before


def test_the_readme_gives_pip_the_help_for_basicsrs_build_wherever_pip_builds(tmp_path: Path) -> None:
    line, = re.findall(r'^    (PYTHONPATH=.* basicsr)$', (ROOT / 'README.md').read_text(encoding='utf-8'), re.MULTILINE)
    pip = tmp_path / 'pip'
    pip.write_text(f'#!/bin/sh\ncd / && exec {sys.executable} -B -c "import sitecustomize as s; print(s.__file__)"\n')
    pip.chmod(0o755)
    found_first = {**os.environ, 'PATH': f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(['bash', '-c', line], cwd=ROOT, env=found_first, capture_output=True, text=True)
    assert done.stdout.strip() == str(ROOT / 'scripts/basicsr_build/sitecustomize.py'), done.stderr


def others_than_python(package: Path) -> set[Path]:
    return {path.relative_to(package) for path in package.rglob('*.*') if path.suffix not in ('.py', '.pyc', '.yml')}


def test_every_option_file_and_what_the_html_page_is_made_of_are_installed_with_the_package(tmp_path: Path) -> None:
    """Where `cface demo` and `cface benchmark` look when there is no clone."""
    done = subprocess.run([sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(tmp_path), 'build_py',
                           '--build-lib', str(tmp_path / 'lib')], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'would be ignored' not in done.stderr
    installed, here = tmp_path / 'lib/cface_basicsr/recipes', ROOT / 'options'
    files = {path.relative_to(here) for path in here.rglob('*.yml')}
    assert Path('baselines/edsr_x8.yml') in files
    assert {path.relative_to(installed) for path in installed.rglob('*.yml')} == files
    page = {Path('report', name) for name in ('page.html.j2', 'page.css', 'page.js', 'published.txt')}
    schemas = {Path('recipes/schema', path.name) for path in (here / 'schema').iterdir()}
    assert page <= others_than_python(ROOT / 'cface_basicsr')
    assert others_than_python(installed.parent) == others_than_python(ROOT / 'cface_basicsr') | schemas


def test_the_training_script_trains(pictures: Path, tmp_path: Path) -> None:
    path = write_options(tiny_options(pictures, **{'train.total_iter': 1}), tmp_path / 'tiny.yml')
    settings = {**os.environ, 'PYTHON': sys.executable, 'PYTHONPATH': str(ROOT), 'PORT': free_port()}
    done = subprocess.run([str(ROOT / 'scripts/dist_train.sh'), '1', str(path)], cwd=tmp_path, env=settings,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert weights(tmp_path)
