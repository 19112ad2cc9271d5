"""The documents say what is so: names, commands, options and files in them exist, and snippets hold."""

import importlib
import importlib.util
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
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), *(ROOT / 'docs/results').rglob('README.md')])


def text_of(page: Path) -> str:
    return page.read_text(encoding='utf-8')


def command_lines() -> Iterator[tuple[Path, str]]:
    """Each line of a page that calls `cface`, alone or between backticks, without its comment."""
    for page in PAGES:
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


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_each_make_target_in_a_page_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r'^(\w+):', text_of(ROOT / 'Makefile'), re.M))
    assert set(re.findall(r'^ +make (\w+)', text_of(page), re.M)) <= targets


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_each_file_of_the_repository_named_in_a_page_is_there(page: Path) -> None:
    named = re.findall(r'(?<![\w/.])((?:options|scripts|tests|performance|cface_basicsr)/[\w./-]+\.(?:yml|sh|py))',
                       text_of(page))
    examples = {'tests/losses/test_angle_loss.py', 'cface_basicsr/losses/angle_loss.py',
                'cface_basicsr/archs/my_net_arch.py', 'cface_basicsr/data/my_dataset.py',
                'cface_basicsr/archs/edge_net_arch.py', 'options/baselines/edge_net_x8.yml',
                'tests/archs/test_edge_net_arch.py'}
    assert [name for name in named if name not in examples and not (ROOT / name).exists()] == []


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r'^#+ (.+)$', text_of(page), re.M)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_each_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r'\]\(([^)\s]+\.md(?:#[^)]+)?|#[^)]+)\)', text_of(page)):
        path, _, anchor = target.partition('#')
        there = (page.parent / path) if path else page
        assert there.is_file(), target
        assert not anchor or anchor in heading_anchors(there), target


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    assert not re.search(r'(?<![\w.~:/])/(?:work|root|home|tmp|Users)\b', text_of(page))


def test_the_snippets_of_the_conventions_hold() -> None:
    snippets = re.findall(r'```python\n(.*?)```', text_of(ROOT / 'CONVENTIONS.md'), re.S)
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


def test_the_page_of_defects_is_the_table_of_the_code() -> None:
    assert text_of(ROOT / 'docs' / 'compat.md') == maker('make_compat').page(), 'run: python docs/make_compat.py'


def test_the_page_of_options_and_the_schemas_are_those_of_the_types() -> None:
    options = maker('make_options')
    assert text_of(ROOT / 'docs' / 'options.md') == options.page(), 'run: python docs/make_options.py'
    written = {path.name: text_of(path) for path in (ROOT / 'options' / 'schema').iterdir()}
    assert written == options.schemas(), 'run: python docs/make_options.py'


def test_each_module_that_the_architecture_names_is_there() -> None:
    package = ROOT / 'cface_basicsr'
    named = set(re.findall(r'`((?:\w+/)*\w+\.py)', text_of(ROOT / 'ARCHITECTURE.md')))
    known = {str(path.relative_to(package)) for path in package.rglob('*.py')} | {path.name for path in
                                                                                  package.glob('ops/*.py')}
    assert {name for name in named if not name.startswith('tests/')} - known == set()
    rooms = {path.name for path in package.iterdir() if (path / '__init__.py').is_file()}
    assert {f'`{room}/`' for room in rooms} <= set(re.findall(r'`\w+/`', text_of(ROOT / 'ARCHITECTURE.md')))


def test_the_table_of_protocols_is_what_they_declare() -> None:
    module = maker('make_protocols')
    assert module.table() in text_of(ROOT / 'docs' / 'protocols.md'), 'run: python docs/make_protocols.py'


def names_in_code(text: str) -> set[str]:
    """Every word between backticks."""
    return {word for span in re.findall(r'`([^`]+)`', text) for word in re.findall(r'[\w.]+', span)}


def test_the_page_of_options_has_every_section_with_each_of_its_keys() -> None:
    from cface_basicsr.options.sections import is_filled_in
    from tests.options.test_sections import public_sections
    named = names_in_code(text_of(ROOT / 'docs' / 'options.md'))
    keys = {key for section in public_sections() for key, field in section.model_fields.items()
            if not is_filled_in(field)}
    assert keys - named == set()


@pytest.mark.parametrize(('page', 'schema'), [('recipes.md', 'recipe'), ('benchmark.md', 'benchmark')])
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
