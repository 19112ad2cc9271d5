"""The documents say what is so: names, commands, options, files and links in them exist, tables and snippets hold."""

import importlib
import importlib.util
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')])
MAKERS = sorted(path.stem for path in (ROOT / 'docs').glob('make_*.py'))
on_each_page = pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding='utf-8')


def command_lines() -> Iterator[tuple[Path, str]]:
    """Each call of `cface` in a page, a whole line or between backticks, without its comment.

    What CONTRIBUTING.md adds, `tests/test_contributing.py` calls.
    """
    for page in PAGES:
        if page.name == 'CONTRIBUTING.md':
            continue
        text = text_of(page)
        for found in re.findall(r'`([^`\n]+)`', text) + [line.strip() for line in text.splitlines()]:
            line = re.sub(r'\s+#.*|\s+…$', '', found.removeprefix('.venv/bin/'))
            if re.match(r'cface (?!-)\w', line):
                yield page, line


def options_of(words: list[str]) -> set[str]:
    """The options of the command that a line calls; a word after a group of commands is a command of it."""
    command = root_command()
    for word in words:
        if not hasattr(command, 'commands'):
            break
        command = command.commands[word]
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {'--help'}


@cache
def root_command() -> Any:
    from typer.main import get_command

    from cface_basicsr.cli.main import app
    return get_command(app)


@pytest.mark.parametrize('line', sorted({line for _, line in command_lines()}))
def test_each_cface_command_and_each_option_in_it_exists(line: str) -> None:
    from cface_basicsr.cli.main import COMMANDS
    words = line.split()
    assert words[1] in COMMANDS
    assert {word for word in words if word.startswith('--')} <= options_of(words[1:])


@on_each_page
def test_each_make_target_in_a_page_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r'^(\w+):', text_of(ROOT / 'Makefile'), re.M))
    assert set(re.findall(r'^ +make (\w+)', text_of(page), re.M)) <= targets


@on_each_page
def test_each_measurement_that_a_page_runs_is_there_and_knows_its_options(page: Path) -> None:
    from performance.__main__ import BENCHMARKS, arguments
    for module, rest in re.findall(r'python -m performance(\.\w+)?((?: +[^\s`#|]+)*)', text_of(page)):
        if module:
            assert (ROOT / f'performance/{module[1:]}.py').is_file(), module
        else:
            chosen = arguments(rest.split())  # ends the program where one is unknown
            for name in chosen.names:
                known = inspect.signature(importlib.import_module(f'performance.{BENCHMARKS[name][0]}').run).parameters
                given = {each for each in ('width', 'batch', 'rows', 'config') if getattr(chosen, each) is not None}
                assert given <= set(known), name


@on_each_page
def test_each_file_of_the_repository_named_in_a_page_is_there(page: Path) -> None:
    named = re.findall(r'(?<![\w/.])((?:options|scripts|tests|performance|cface_basicsr)/[\w./-]+\.(?:yml|sh|py))',
                       text_of(page))
    added = text_of(ROOT / 'tests/test_contributing.py') if page.name == 'CONTRIBUTING.md' else ''
    placeholders = r'WHICH|/my_net_|/edge_net_'
    assert [name for name in named if name not in added and not re.search(placeholders, name)
            and not (ROOT / name).exists()] == []


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r'^#+ (.+)$', text_of(page), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """(file or folder, anchor or '') of each link of a page to something of the repository."""
    for target in re.findall(r'\]\(([^)\s]+)\)', text_of(page)):
        if not target.startswith('https://'):
            path, _, anchor = target.partition('#')
            yield (page.parent / path).resolve() if path else page, anchor


@on_each_page
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    for there, anchor in links(page):
        assert there.exists(), there
        assert not anchor or anchor in heading_anchors(there), f'{there}#{anchor}'


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), {ROOT / 'README.md'}
    while todo:
        page = todo.pop()
        reached.add(page)
        todo |= {there for there, _ in links(page) if there.suffix == '.md'} - reached
    assert set(PAGES) - reached == {ROOT / 'CHANGELOG.md'}


@on_each_page
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    assert not re.search(r'(?<![\w.~:/])/(?:work|root|home|tmp|Users)\b', text_of(page))


@pytest.mark.parametrize('page', ['CONVENTIONS.md', 'docs/method.md'])
def test_the_snippets_of_a_page_hold(page: str) -> None:
    snippets = re.findall(r'```python\n(.*?)```', text_of(ROOT / page), re.S)
    assert snippets
    names: dict[str, Any] = {}
    for snippet in snippets:
        assert 'assert ' in snippet
        exec(snippet, names)


def maker(name: str) -> Any:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / 'docs' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('name', MAKERS)
def test_what_is_printed_from_the_code_is_in_its_page(name: str) -> None:
    made = maker(name)
    assert text_of(made.PAGE) == made.page(), f'run: python docs/{name}.py'


def test_the_schemas_for_editors_are_those_of_the_types() -> None:
    written = {path.name: text_of(path) for path in (ROOT / 'options' / 'schema').iterdir()}
    assert written == maker('make_options').schemas(), 'run: python docs/make_options.py'


def test_each_module_that_the_architecture_names_is_there() -> None:
    package = ROOT / 'cface_basicsr'
    named = set(re.findall(r'`((?:\w+/)*\w+\.py)', text_of(ROOT / 'ARCHITECTURE.md')))
    known = {str(path.relative_to(package)) for path in package.rglob('*.py')} | {path.name for path in
                                                                                  package.glob('ops/*.py')}
    assert {name for name in named if not name.startswith('tests/')} - known == set()


def test_the_layers_of_the_architecture_are_those_that_its_test_holds() -> None:
    from tests.test_architecture import LAYER, NAMES, room_of
    rows = re.findall(r'^\| (\d+) \| (.+?) \|', text_of(ROOT / 'ARCHITECTURE.md'), re.M)
    told = {room: int(layer) for layer, rooms in rows for room in re.findall(r'`(\w+)(?:/|\.py)`', rooms)}
    assert told == {room: LAYER[room] for room in map(room_of, NAMES) if not room.startswith('__')}


def names_in_code(text: str) -> set[str]:
    """Every word between backticks."""
    return {word for span in re.findall(r'`([^`]+)`', text) for word in re.findall(r'[\w.]+', span)}


def test_the_page_of_options_has_every_section_with_each_of_its_keys() -> None:
    from cface_basicsr.options.sections import is_filled_in
    from tests.options.test_sections import public_sections
    named = names_in_code(text_of(ROOT / 'docs' / 'options.md'))
    keys = {key for section in public_sections() for key, field in section.model_fields.items()
            if not is_filled_in(field) and section.__module__.split('.')[1] not in ('zoo', 'serving')}
    assert keys - named == set()


def test_the_page_of_the_zoo_has_each_key_of_a_card_and_its_draft_is_one() -> None:
    from cface_basicsr.zoo.card import Card, Draft
    text = text_of(ROOT / 'docs' / 'zoo.md')
    draft = textwrap.dedent(re.search(r'^    about: .*\n(?:    .*\n)+', text, re.M)[0])
    assert set(Card.model_fields) - names_in_code(text) - set(yaml.safe_load(draft)) == set()
    Draft.model_validate(yaml.safe_load(draft))


@pytest.mark.parametrize(('page', 'schema'), [('train.md', 'recipe'), ('benchmark.md', 'benchmark')])
def test_the_example_of_a_page_fits_the_schema_of_its_files(page: str, schema: str) -> None:
    examples = re.findall(r'(?:^    .*\n|^\n)+', text_of(ROOT / 'docs' / page), re.M)
    example = next(text for text in examples if text.lstrip().startswith('name: '))
    jsonschema.validate(yaml.safe_load(textwrap.dedent(example)),
                        json.loads(text_of(ROOT / 'options' / 'schema' / f'{schema}.json')))


def test_the_changelog_and_the_pages_name_registered_classes() -> None:
    from basicsr.utils import registry

    import cface_basicsr.register  # noqa: F401
    known = {name for each in ('ARCH', 'LOSS', 'DATASET', 'MODEL', 'METRIC')
             for name, _ in getattr(registry, f'{each}_REGISTRY')}
    named = {word for page in PAGES if page.name != 'CONTRIBUTING.md' for word in names_in_code(text_of(page))
             if re.fullmatch(r'\w+(Dataset|Model|Loss|Head|Recognizer|Discriminator)', word)}
    assert named - known - {'StageModel', 'BaseModel'} == set()
