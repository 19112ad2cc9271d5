"""`cface audit`."""

import json
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from cface_basicsr.cli.main import app
from cface_basicsr.data.audit.near_duplicates import NEAR
from cface_basicsr.errors import UserError
from tests.photos import photo, recompressed, write_tree


@pytest.fixture(scope='module')
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('sets')
    write_tree(folder / 'train', {'0000045/1': photo(0), '0000099/1': photo(1)})
    write_tree(folder / 'test', {'Ann_Lee/1': photo(5), 'Bob_Ray/1': photo(0), 'Bob_Ray/2': recompressed(photo(1), 60)})
    write_tree(folder / 'apart', {'Cy/1': photo(7)})
    (folder / 'names.txt').write_text('0000045 Ann Lee\n0000099 Dora\n')
    return folder


def run(folder: Path, *words: str, test: str = 'test') -> Result:
    return CliRunner().invoke(app, ['audit', str(folder / 'train'), str(folder / test), '--workers', '1', *words])


def test_what_overlaps_is_printed_and_the_exit_code_says_so(sets: Path) -> None:
    result = run(sets, '--names', str(sets / 'names.txt'))
    assert result.exit_code == 1, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f'TRAIN  {sets}/train: 2 pictures of 2 identities (whole photographs)'
    assert lines[2:6] == ['names in both: 1', '  Ann Lee: 0000045 = Ann_Lee  (written differently)',
                          'equal pictures in both: 1',
                          '  0000045/1 = Bob_Ray/1  other person: Ann Lee / Bob_Ray']
    assert lines[6] == 'near-duplicates in both: 1' and lines[7].startswith('  0000099/1 = Bob_Ray/2  (likeness 0.9')
    assert lines[-1] == 'TRAIN and TEST overlap.'


def test_disjoint_sets_exit_with_0(sets: Path) -> None:
    result = run(sets, test='apart')
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == 'Names and pictures: nothing is in both.'


def test_the_saved_file_and_json_hold_everything(sets: Path, tmp_path: Path) -> None:
    result = run(sets, '--json', '--out', str(tmp_path / 'audit.json'), '--within')
    shown, saved = json.loads(result.stdout), json.loads((tmp_path / 'audit.json').read_text())
    assert shown == saved and saved['overlaps'] and saved['settings']['near'] == NEAR
    assert saved['equal'][0]['test'] == ['Bob_Ray/1'] and saved['near'][0]['kind'] == 'near'
    assert saved['people'] == [] and saved['within'] == {'train': [], 'test': []}
    assert [path.name for path in tmp_path.iterdir()] == ['audit.json']


def test_a_saved_file_is_not_replaced_unasked(sets: Path, tmp_path: Path) -> None:
    out = tmp_path / 'audit.json'
    out.write_text('mine')
    refused = run(sets, '--names-only', '--out', str(out))
    assert isinstance(refused.exception, UserError) and 'exists; --overwrite replaces it' in str(refused.exception)
    assert out.read_text() == 'mine'
    assert run(sets, '--names-only', '--out', str(out), '--overwrite').exit_code == 0
    assert json.loads(out.read_text())['overlaps'] is False
    missing = run(sets, '--names-only', '--out', str(tmp_path / 'no' / 'audit.json'))
    assert "the folder '" in str(missing.exception) and 'is missing' in str(missing.exception)


def test_comparing_only_names_opens_no_picture(tmp_path: Path) -> None:
    for side, name in (('train', 'Ann Lee'), ('test', 'ann_lee')):
        (tmp_path / side / name).mkdir(parents=True)
        (tmp_path / side / name / '1.jpg').write_bytes(b'no image')
    result = run(tmp_path, '--names-only')
    assert result.exit_code == 1 and 'pictures in both' not in result.stdout
    assert 'Ann Lee: Ann Lee = ann_lee  (written differently)' in result.stdout


def test_each_side_has_its_own_list_of_names(sets: Path) -> None:
    result = CliRunner().invoke(app, ['audit', str(sets / 'test'), str(sets / 'train'), '--names-only', '--test-names',
                                      str(sets / 'names.txt')])
    assert 'Ann_Lee: Ann_Lee = 0000045  (written differently)' in result.stdout


def test_long_lists_are_cut_on_the_screen(tmp_path: Path) -> None:
    for side in ('train', 'test'):
        write_tree(tmp_path / side, {f'p{number:02d}/1': photo(0, 16) for number in range(25)})
    result = run(tmp_path, '--names-only')
    assert 'names in both: 25' in result.stdout and '  … and 5 more; --out FILE.json has all' in result.stdout


def test_the_help_names_the_threshold_in_use() -> None:
    options = {parameter.name: parameter for parameter in get_command(app).commands['audit'].params}
    assert options['near'].show_default == str(NEAR)


def test_a_folder_that_is_not_a_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'train').mkdir()
    assert isinstance(run(tmp_path).exception, UserError)
