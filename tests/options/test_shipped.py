"""The option files that come with the plugin are found in any folder, listed and copied."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.cli.options import about_file
from cface_basicsr.errors import UserError
from cface_basicsr.options import shipped
from cface_basicsr.options.shipped import copy_option_files, find_option_file, shipped_files, shipped_folder
from tests.tiny_stages import REPOSITORY

OPTIONS = REPOSITORY / 'options'


@pytest.mark.parametrize('name', ['options/baselines/edsr_x8.yml', 'baselines/edsr_x8.yml'])
def test_a_name_is_that_of_the_plugins_file_in_any_folder(name: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_option_file(name) == OPTIONS / 'baselines/edsr_x8.yml'


def test_a_file_of_that_name_in_the_working_directory_comes_first(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'options').mkdir()
    mine = tmp_path / 'options/cface_x8.yml'
    mine.write_text('name: mine')
    assert find_option_file('options/cface_x8.yml').samefile(mine)
    assert find_option_file('cface_x8.yml') == OPTIONS / 'cface_x8.yml'


@pytest.mark.parametrize(('name', 'words'), [
    ('nowhere.yml', ['Looked in', '`cface options list`']), ('options/cface_x9.yml', ["did you mean 'cface_x8.yml'?"]),
    ('edsr_x8.yml', ["did you mean 'baselines/edsr_x8.yml'?"]), ('../options/cface_x8.yml', ['Looked in'])])
def test_what_is_not_found_is_said_with_the_places_that_were_looked_at(
        name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        find_option_file(name)
    text = str(caught.value)
    assert f"'{tmp_path}'" in text and f"'{OPTIONS}'" in text and all(word in text for word in words)
    assert len(text.splitlines()) == 1


def test_an_absolute_path_and_a_folder_are_never_looked_for_elsewhere(tmp_path: Path) -> None:
    for path, what in ((tmp_path, 'is a folder'), (tmp_path / 'cface_x8.yml', 'is missing')):
        with pytest.raises(UserError, match=f'{what}. Expected a YAML file'):
            find_option_file(path)


def test_an_installation_without_its_option_files_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, '_PLACES', (tmp_path / 'options', tmp_path / 'recipes'))
    with pytest.raises(UserError, match='neither in .*options. nor in .*recipes'):
        shipped_folder()


def test_all_files_are_listed_each_with_a_sentence_that_says_what_it_is() -> None:
    assert set(shipped_files().values()) == set(OPTIONS.rglob('*.yml'))
    about = {name: about_file(path.read_text()) for name, path in shipped_files().items()}
    assert {name: text for name, text in about.items() if not re.fullmatch(r'[A-Z].{20,}\.', text)} == {}
    done = CliRunner().invoke(app, ['options', 'list'])
    lines = dict(re.split(r'\s+', line, maxsplit=1) for line in done.stdout.splitlines())
    assert lines == about


def test_every_option_file_argument_of_a_command_is_resolved() -> None:
    """No command opens the path of an option file as it was typed."""
    callbacks = [info.callback for group in [app, *(group.typer_instance for group in app.registered_groups)]
                 for info in group.registered_commands]
    hints = [hint.__metadata__[0] for each in callbacks for hint in get_type_hints(each, include_extras=True).values()
             if hasattr(hint, '__metadata__') and Path in (get_args(hint)[0], *get_args(get_args(hint)[0]))]
    taken = [each for each in hints if re.search(r'option file|recipe|\.yml', each.help or '', re.I)]
    assert len(taken) == 5  # train, benchmark, ablate, demo, options show
    assert {each.callback('options/cface_x8.yml') for each in taken} == {find_option_file('options/cface_x8.yml')}
    assert {each.callback('cface_x8.yml') for each in taken} == {OPTIONS / 'cface_x8.yml'}


def test_a_copy_has_every_file_and_schema_byte_for_byte_and_can_be_made_again(tmp_path: Path) -> None:
    here = {path.relative_to(OPTIONS): path.read_bytes() for path in OPTIONS.rglob('*.*')}
    assert len(copy_option_files(tmp_path / 'a/b')) == len(here)
    assert {path.relative_to(tmp_path / 'a/b'): path.read_bytes() for path in (tmp_path / 'a/b').rglob('*.*')} == here
    (tmp_path / 'a/b/cface_x8.yml').unlink()
    assert copy_option_files(tmp_path / 'a/b') == [tmp_path / 'a/b/cface_x8.yml']


def test_a_file_that_somebody_changed_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / 'cface_x8.yml').write_text('name: mine')
    with pytest.raises(UserError, match='1 of the option files .*cface_x8.yml.\nGive another'):
        copy_option_files(tmp_path)
    assert [path.name for path in tmp_path.rglob('*')] == ['cface_x8.yml']
