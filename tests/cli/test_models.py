"""`cface models`: list, info, get and add, and a network by its name in other commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.files.yaml_file import parse_yaml, to_yaml
from cface_basicsr.zoo import catalogue
from tests.small_data import write_small_data
from tests.tiny_stages import write_recognizer
from tests.zoo.made_up_networks import DRAFT, write_generator, write_zoo


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(catalogue, 'SHIPPED_NETWORKS', tmp_path / 'package')


def cface(*words: object) -> Any:
    done = CliRunner().invoke(app, [*map(str, words)])
    if isinstance(done.exception, UserError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_a_network_is_added_listed_described_and_used_by_its_name(tmp_path: Path) -> None:
    assert 'there is none' in cface('models', 'list').output
    (tmp_path / 'draft.yml').write_text(to_yaml(DRAFT))
    source = write_generator(tmp_path / 'net_g.pth')
    cface('models', 'add', source, '--name', 'own-x8', '--card', tmp_path / 'draft.yml')
    assert cface('models', 'list').output.split() == [
        'own-x8', 'x8', 'SRResNet', '0.0', 'MB', 'installed', 'Apache-2.0']
    known = parse_yaml(cface('models', 'info', 'own-x8').output, 'card')
    assert known == json.loads(cface('models', 'info', 'own-x8', '--json').output)
    assert known['identity'] == DRAFT['identity'] and known['here'] is True and len(known['sha256']) == 64
    face = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(face).save(tmp_path / 'face.png')
    cface('enhance', tmp_path / 'face.png', '--network', 'own-x8', '--out', tmp_path / 'out', '--device', 'cpu')
    assert Image.open(tmp_path / 'out/face.png').size == (128, 128)


def test_a_network_of_a_folder_is_copied_and_its_licence_said(tmp_path: Path) -> None:
    write_zoo(tmp_path / 'shelf', licence='non-commercial research only')
    assert 'licence: non-commercial research only' in cface('models', 'get', 'tiny-x8', '--from',
                                                            tmp_path / 'shelf').output
    assert 'it is there already' in cface('models', 'get', 'tiny-x8', '--from', tmp_path / 'shelf').output
    listed, = json.loads(cface('models', 'list', '--json').output)
    assert listed['name'] == 'tiny-x8' and listed['here'] and listed['path'].startswith(str(tmp_path / 'home'))


def test_evaluate_takes_a_network_by_its_name_as_by_its_file(tmp_path: Path) -> None:
    made = write_zoo(tmp_path / 'package')
    data, recognizer = write_small_data(tmp_path / 'data'), write_recognizer(tmp_path / 'net_r.pth')

    def rows(*networks: object) -> dict[str, Any]:
        found = json.loads(cface('evaluate', 'pairs', data, '--recognizer', recognizer, '--folds', 2, '--json',
                                 *networks).stdout)
        return {run['system']: run['measured'] for run in found['runs']}
    by_name = rows('--network', 'tiny-x8', '--weights', 'Mine=tiny-x8')
    assert list(by_name) == ['HR', 'Bicubic', 'tiny-x8', 'Mine']
    assert by_name['tiny-x8'] == by_name['Mine'] == rows('--weights', f'file={made.path}')['file']


def test_a_misspelt_name_gets_the_nearest_in_every_command_that_takes_one(tmp_path: Path) -> None:
    write_zoo(tmp_path / 'package')
    for words in (['models', 'info', 'tiny-x9'], ['enhance', 'a.png', '--network', 'tiny-x9', '--out', tmp_path],
                  ['evaluate', 'pairs', tmp_path, '--network', 'Mine=tiny-x9'],
                  ['generate', tmp_path, '--weights', 'tiny-x9']):
        with pytest.raises(UserError, match="network 'tiny-x9' is missing: .*did you mean 'tiny-x8'"):
            cface(*words)


@pytest.mark.parametrize(('words', 'message'), [
    (['get', 'a', '--from', '.', '--url', 'https://a'], 'expected one of them, got both'),
    (['add', 'a.pth', '--name', 'a', '--card', 'nowhere.yml'], "card 'nowhere.yml' is missing")])
def test_what_cannot_be_done_is_said(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cface('models', *words)
