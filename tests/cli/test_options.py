"""`cface options show`: an option file in full, as BasicSR's own command reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.cli.options import read_changes
from cface_basicsr.errors import UserError
from cface_basicsr.options import read_option_file
from tests.tiny_stages import REPOSITORY

EDSR = REPOSITORY / 'options/baselines/edsr_x8.yml'


def shown(*words: str | Path) -> str:
    done = CliRunner().invoke(app, ['options', 'show', *map(str, words)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def options_in(text: str, folder: Path) -> dict[str, Any]:
    (folder / 'shown.yml').write_text(text)
    return read_option_file(folder / 'shown.yml')


def test_without_a_scale_the_file_is_printed_as_it_is(tmp_path: Path) -> None:
    assert options_in(shown(EDSR), tmp_path) == read_option_file(EDSR)


def test_it_loads_the_plugin_first_under_basicsrs_own_parser_too() -> None:
    text = shown(EDSR, '--scale', '4')
    assert text.partition('\n')[2].startswith('plugin: !!python/name:cface_basicsr.register.NAME\nname: edsr_x4\n')
    assert yaml.unsafe_load(text)['network_g']['upscale'] == 4


def test_the_schema_for_editors_is_named_on_top_as_seen_from_the_working_directory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named, plugin, *_ = shown(EDSR, '--scale', '2').splitlines()
    assert Path(named.removeprefix('# yaml-language-server: $schema=')).samefile(
        REPOSITORY / 'options/schema/option_file.json')
    assert plugin.startswith('plugin: ')
    monkeypatch.chdir(EDSR.parent)
    assert shown(EDSR).partition('\n')[0] == EDSR.read_text().partition('\n')[0]
    (tmp_path / 'a.yml').write_text(EDSR.read_text().partition('\n')[2])
    assert shown(tmp_path / 'a.yml', '--scale', '2').startswith('plugin: ')


def test_settings_and_data_take_the_place_of_the_files(tmp_path: Path) -> None:
    changes = ['train.optim_g.lr=2e-4', 'network_g.num_feat=64', 'train.scheduler.milestones=[5, 6]', 'val=null']
    words = [word for change in changes for word in ('--set', change)]
    opt = options_in(shown(EDSR, '--scale', '4', '--data', tmp_path, *words), tmp_path)
    assert opt['train']['optim_g'] == {'type': 'Adam', 'lr': 0.0002, 'betas': [0.9, 0.999]}
    assert opt['network_g']['num_feat'] == 64 and opt['train']['scheduler']['milestones'] == [5, 6]
    assert 'val' not in opt
    assert opt['datasets']['train']['dataroot_lq'] == str(tmp_path / 'lr_x4.lmdb')


@pytest.mark.parametrize('stage', [0, 3])
def test_a_training_without_a_generator_takes_settings_and_data_too(tmp_path: Path, stage: int) -> None:
    file = REPOSITORY / f'options/cface_stage{stage}.yml'
    expected = read_option_file(file)
    expected['network_r']['num_feat'] = 8
    stores = {0: str(tmp_path / 'hr.lmdb'), 3: [str(tmp_path / 'hr.lmdb'), str(tmp_path / 'sr_x4.lmdb')]}
    expected['datasets']['train']['dataroot_gt'] = stores[stage]
    assert options_in(shown(file, '--data', tmp_path, '--set', 'network_r.num_feat=8'), tmp_path) == expected


def test_a_network_of_another_type_gets_the_scale_as_well(tmp_path: Path) -> None:
    vdsr = EDSR.with_name('vdsr_x8.yml')
    opt = options_in(shown(vdsr, '--scale', '2', '--set', 'network_g.type=EDSR'), tmp_path)
    assert opt['network_g'] == {'type': 'EDSR', 'upscale': 2}


def test_changes_of_one_section_come_together() -> None:
    assert read_changes(['a.b=1', 'a.c=x', 'a.b=1e3', 'd=~']) == {'a': {'b': 1000.0, 'c': 'x'}, 'd': None}


@pytest.mark.parametrize(('words', 'message'), [
    ([EDSR, '--scale', '3'], 'edsr_x8.yml.: scale 3 is unknown; nearest: 2'),
    (['nowhere.yml'], "option file 'nowhere.yml' is missing. Looked in '.*' and '.*options'; `cface options list`"),
    (['edsr_x8.yml'], "did you mean 'baselines/edsr_x8.yml'"),
    ([REPOSITORY / 'options/cface_x8.yml', '--scale', '4'], "cface_x8.yml': no 'network_g' and 'scale': expe"),
    ([REPOSITORY / 'options/benchmark/demo.yml', '--set', 'batch=4'], "option 'data' is unknown; did you mean 'datas"),
    ([REPOSITORY / 'options/cface_stage0.yml', '--scale', '2'], "cface_stage0.yml': no 'network_g' and 'scale'"),
    ([EDSR, '--data', 'nowhere'], "--data: the folder 'nowhere' is missing"),
    ([EDSR, '--set', 'train.total_iter'], 'expected KEY=VALUE'), ([EDSR, '--set', 'a..b=5'], 'expected KEY=VALUE'),
    ([EDSR, '--set', 'train=5'], "option 'train': input should be a section, got 5"),
    ([EDSR, '--set', 'val=['], 'is not valid YAML')])
def test_what_cannot_be_printed_is_said_in_one_line(words: list[str | Path], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        shown(*words)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_basicsr_could_not_parse_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / 'a.yml').write_text(EDSR.read_text().replace('\npath: ', '\npaht: '))
    with pytest.raises(UserError, match=r"a\.yml': option 'paht' is unknown; did you mean 'path'\?"):
        shown(tmp_path / 'a.yml', '--scale', '4')
