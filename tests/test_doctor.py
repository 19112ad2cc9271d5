"""`cface doctor`: finds BasicSR without importing it, repairs two lines of it, and puts them back."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cface_basicsr.cli.main import app
from cface_basicsr.compat import installed
from cface_basicsr.errors import UserError

OLD_IMPORT = b'from torchvision.transforms.functional_tensor import rgb_to_grayscale'
NEW_IMPORT = b'from torchvision.transforms.functional import rgb_to_grayscale'
OLD_PARSER = b"    parser.add_argument('--local_rank', type=int, default=0)"
NEW_PARSER = b"    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The installed BasicSR copied, with both defects of 1.4.2 in it."""
    folder = tmp_path / 'site-packages' / 'basicsr'
    found = installed.find_package()
    shutil.copytree(found, folder, ignore=shutil.ignore_patterns('__pycache__', '*' + installed.BACKUP))
    for name, old, new in (('data/degradations.py', OLD_IMPORT, NEW_IMPORT),
                           ('utils/options.py', OLD_PARSER, NEW_PARSER)):
        path = folder / name
        path.write_bytes(path.read_bytes().replace(new, old))
        assert path.read_bytes().count(old) == 1
    return folder


def doctor(package: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ['doctor', '--basicsr', str(package), *arguments])


def content(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob('*') if path.is_file()}


def test_the_package_that_python_imports_is_found() -> None:
    import basicsr
    assert installed.find_package() == Path(basicsr.__file__).parent


def test_a_basicsr_that_cannot_be_imported_is_reported_with_exit_code_1(package: Path) -> None:
    result = doctor(package, '--json')
    found = json.loads(result.stdout)
    lines = {'functional-tensor': 1 + (package / 'data/degradations.py').read_bytes().splitlines().index(OLD_IMPORT),
             'local-rank': 1 + (package / 'utils/options.py').read_bytes().splitlines().index(OLD_PARSER)}
    assert result.exit_code == 1 and found['needs_repair']
    assert [(each['name'], each['status'], each['line']) for each in found['repairs']] == [
        (name, 'defect', line) for name, line in lines.items()]
    assert found['basicsr'] == {'folder': str(package), 'version': '1.4.2', 'kind': 'installed'}


def test_repair_changes_two_lines_and_says_which(package: Path) -> None:
    before = content(package)
    result = doctor(package, '--repair')
    assert result.exit_code == 0
    after = content(package)
    assert {name for name in before if before[name] != after[name]} == {'data/degradations.py', 'utils/options.py'}
    assert after['data/degradations.py'] == before['data/degradations.py'].replace(OLD_IMPORT, NEW_IMPORT)
    assert after['utils/options.py'] == before['utils/options.py'].replace(OLD_PARSER, NEW_PARSER)
    assert f"changed {package / 'data/degradations.py'}, line 8: {OLD_IMPORT.decode()}" in result.stdout
    assert not list(package.rglob('*.tmp'))


def test_undo_puts_every_byte_back_and_removes_the_copies(package: Path) -> None:
    before = content(package)
    doctor(package, '--repair')
    result = doctor(package, '--undo')
    assert content(package) == before
    assert result.exit_code == 1  # it needs the repair again
    assert f"put back {package / 'utils/options.py'}" in result.stdout


def test_a_second_repair_changes_nothing(package: Path) -> None:
    doctor(package, '--repair')
    before = content(package)
    assert 'Nothing to change.' in doctor(package, '--repair').stdout
    assert content(package) == before


def test_a_file_changed_since_the_repair_is_left_alone(package: Path) -> None:
    doctor(package, '--repair')
    path = package / 'utils/options.py'
    path.write_bytes(path.read_bytes() + b'# mine\n')
    with pytest.raises(UserError, match='changed after the repair'):
        installed.restore(package, installed.REPAIRS[1])
    assert path.read_bytes().endswith(b'# mine\n')


def test_windows_line_ends_survive_repair_and_undo(package: Path) -> None:
    path = package / 'utils/options.py'
    path.write_bytes(path.read_bytes().replace(b'\n', b'\r\n'))
    before = path.read_bytes()
    doctor(package, '--repair')
    assert path.read_bytes() == before.replace(OLD_PARSER, NEW_PARSER)
    doctor(package, '--undo')
    assert path.read_bytes() == before


def test_a_basicsr_with_other_code_is_called_unknown_and_left_alone(package: Path) -> None:
    path = package / 'utils/options.py'
    path.write_bytes(path.read_bytes().replace(OLD_PARSER, b'    pass'))
    before = path.read_bytes()
    doctor(package, '--repair')
    assert installed.status(package, installed.REPAIRS[1]) == 'unknown'
    assert path.read_bytes() == before


def test_a_checkout_that_was_never_installed_is_reported(package: Path, tmp_path: Path) -> None:
    checkout = tmp_path / 'BasicSR'
    shutil.copytree(package, checkout / 'basicsr')
    (checkout / 'basicsr' / 'version.py').unlink()
    found = json.loads(doctor(checkout, '--json').stdout)
    assert found['basicsr'] == {'folder': str(checkout / 'basicsr'), 'version': None, 'kind': 'clone'}
    assert any('no version.py' in each for each in found['warnings'])


def test_a_warning_names_a_train_script_of_another_basicsr(
        package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(package, tmp_path / 'BasicSR' / 'basicsr')
    monkeypatch.chdir(tmp_path / 'BasicSR')
    warnings = json.loads(doctor(package, '--json').stdout)['warnings']
    assert any('python basicsr/train.py' in each and 'PYTHONPATH=.' in each for each in warnings)


def test_a_folder_without_basicsr_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='is not a BasicSR'):
        installed.package_in(tmp_path)


def test_the_table_names_every_row_that_is_patched_at_run_time() -> None:
    from cface_basicsr import compat
    found = json.loads(CliRunner().invoke(app, ['doctor', '--json']).stdout)
    assert {each['name'] for each in found['rows']} == {row.name for row in compat.ROWS}
    assert {each['status'] for each in found['rows']} <= {'patched at run time', 'not there'}
