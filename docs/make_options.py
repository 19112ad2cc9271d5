"""Writes docs/options.md and the JSON schemas of options/schema/ from the types: `python docs/make_options.py`.

Names, kinds and defaults are those of the sections and of the signatures of registered classes, sentences those under
the fields and in the docstrings. A test compares the files with what is printed here.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cface_basicsr.compat.before_import import prepare_import

prepare_import()
import cface_basicsr.register  # noqa: E402, F401
from cface_basicsr.benchmark.file import BenchmarkFile  # noqa: E402
from cface_basicsr.options import LoaderOptions, Training, option_file, signatures  # noqa: E402
from cface_basicsr.options.sections import Section  # noqa: E402
from cface_basicsr.training.recipe import RecipeFile  # noqa: E402

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs/options.md'
ROOMS = {'archs': 'Networks', 'losses': 'Losses', 'metrics': 'Metrics', 'data': 'Data sets'}
Schema = dict[str, Any]

HEAD = """# Options

Printed from the types in the code by `python docs/make_options.py`; do not edit it here.

Whatever is unknown, missing, given twice or of the wrong kind is refused before any work, by its name and with the
nearest valid one. Numbers may be written as 1e-4, and what counts as 5e3; a number in quotes is a text. What has no
default and is not required is left out by default; `~` is YAML for nothing. An editor with YAML's language server
checks a file while it is written, by the schema in `options/schema/` that the file's first line names.

- [Option files](#option-files): one training or test by BasicSR; those of the paper are in [train.md](train.md#stages)
- [Data sets](#data-sets), [Networks](#networks), [Losses](#losses), [Metrics](#metrics): sections with a `type`
- [Recipes](#recipes): a chain of trainings; how to use them is in [train.md](train.md#recipes)
- [Benchmark files](#benchmark-files): every system side by side; see [benchmark.md](benchmark.md)

"""


# ------------------------------------------------------------------------------------------------------------- the page

def page() -> str:
    """The text of docs/options.md."""
    files = [*_with_inner([option_file.TrainingFile]), option_file.Datasets]
    trainings = list(dict.fromkeys(option_file.TRAINING.values()))
    inner = [each for each in _with_inner(trainings) if each not in trainings]
    parts = [HEAD, '## Option files\n\n', _models(), *map(_table, [*files, Training]),
             *(_table(each, without=Training.model_fields) for each in trainings), *map(_table, inner)]
    for room, title in ROOMS.items():
        parts += [f'## {title}\n\n', *_room(room)]
    parts += ['## Recipes\n\n', *map(_table, _with_inner([RecipeFile])),
              '## Benchmark files\n\n', *(_table(each) for each in _with_inner([BenchmarkFile])
                                          if each not in _with_inner([RecipeFile]))]
    return ''.join(parts).rstrip() + '\n'


def _models() -> str:
    """Which networks each model builds, and what its `train:` section is."""
    lines = [f"| `{name}` | {_codes(section.networks)} | {_link(section)} |\n"
             for name, section in option_file.TRAINING.items()]
    return ('| `model_type` | builds | `train:` |\n|---|---|---|\n' + ''.join(lines)
            + '| `GenerateModel` | `network_g` | none: stage 2 is a test, of a trained generator |\n\n')


def _with_inner(sections: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """Sections, and those within them, in the order in which they are met."""
    found: dict[type[BaseModel], None] = {}
    todo = list(sections)
    while todo:
        section = todo.pop(0)
        if section not in found:
            found[section] = None
            todo += [known for field in _fields(section).values() for known in _references(field)]
    return list(found)


def _references(field: Schema) -> Iterator[type[BaseModel]]:
    for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(field)):
        yield _sections()[name]


@cache
def _sections() -> dict[str, type[BaseModel]]:
    """Every section of the package by its name."""
    found: dict[str, type[BaseModel]] = {}
    todo: list[type[BaseModel]] = [Section]
    while todo:
        section = todo.pop()
        found[section.__name__] = section
        todo += section.__subclasses__()
    return found


def _fields(section: type[BaseModel]) -> dict[str, Schema]:
    return section.model_json_schema().get('properties', {})


def _table(section: type[BaseModel], without: Iterable[str] = ()) -> str:
    text = re.split(r'\n\nAttributes:', inspect.getdoc(section) or '')[0]
    return f'### {section.__name__}\n\n{text}\n\n{_rows(section, without)}\n'


def _rows(section: type[BaseModel], without: Iterable[str] = ()) -> str:
    required = section.model_json_schema().get('required', ())
    cells: dict[tuple[str, ...], list[str]] = {}
    for name, field in _fields(section).items():
        if name not in without:
            default = 'required' if name in required else _default(field)
            text = _as_yaml(field.get('description', ''))
            cells.setdefault((_kind(field), default, text), []).append(name)
    lines = [f'| {_codes(names)} | {_escaped(" | ".join(each))} |\n' for each, names in cells.items()]
    return '| option | value | default | meaning |\n|---|---|---|---|\n' + ''.join(lines)


def _codes(names: Iterable[str]) -> str:
    return ', '.join(f'`{name}`' for name in names)


def _escaped(text: str) -> str:
    """Text in which `<` begins no tag; between backticks Markdown shows it as it is, and would show an entity too."""
    return re.sub('`[^`]*`|<', lambda found: '&lt;' if found[0] == '<' else found[0], text)


def _link(section: type[BaseModel]) -> str:
    return f'[{section.__name__}](#{section.__name__.lower()})'


def _as_yaml(text: str) -> str:
    """The sentence of a docstring on one line, with YAML's words for Python's."""
    words = {'None': '`~`', 'True': '`true`', 'False': '`false`', '->': '→'}
    return re.sub(r'\b(?:None|True|False)\b|->', lambda found: words[found[0]], ' '.join(text.split()))


def _default(field: Schema) -> str:
    value = field.get('default')
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f'`{text}`' if text not in ('', 'null') else ''


def _kind(field: Schema) -> str:
    """What may be written, in words."""
    if '$ref' in field:
        return _link(_sections()[field['$ref'].rpartition('/')[2]])
    if 'registered' in field:
        return f"[`type`, …](#{ROOMS[field['registered']].lower().replace(' ', '-')})"
    if 'anyOf' in field:
        return ' or '.join(_kind(each) for each in field['anyOf'] if each.get('type') != 'null')
    if 'enum' in field or 'const' in field:
        return ', '.join(f'`{value}`' for value in field.get('enum', [field.get('const')]))
    if field.get('type') == 'object':
        inner = field.get('additionalProperties')
        return f'name → {_kind(inner)}' if isinstance(inner, dict) and inner else 'section'
    if field.get('type') == 'array':
        return f"list of {_kind(field['items'])}".replace('number', 'numbers') if field.get('items') else 'list'
    words = {'integer': 'whole number', 'number': 'number', 'string': 'text', 'boolean': '`true`, `false`'}
    return words.get(field.get('type', ''), 'any') + _bounds(field)


def _bounds(field: Schema) -> str:
    words = {'minimum': '≥', 'exclusiveMinimum': '>', 'maximum': '≤', 'exclusiveMaximum': '<'}
    bounds = [f'{sign} {field[key]}' for key, sign in words.items() if key in field]
    return f" {', '.join(bounds)}" if bounds else ''


def _room(room: str) -> Iterator[str]:
    """The sections of a room: ours with all that they say, those of BasicSR that we use by the names of their keys."""
    common = LoaderOptions.model_fields if room == 'data' else ()
    if room == 'data':
        yield _table(LoaderOptions)
    for name in _ours(room):
        text = inspect.getdoc(signatures.registered(room)[name]).partition('\n\n')[0]
        yield f'### {name}\n\n{text}\n\n{_rows(signatures.section_of(room, name), without=("type", *common))}\n'
    theirs = sorted(signatures.registered(room).keys() & _shipped_types() - set(_ours(room)))
    keys = {name: _codes(key for key in signatures.section_of(room, name).model_fields if key != 'type')
            for name in theirs}
    lines = [f"| `{name}` | {keys[name] or 'see BasicSR'} |\n" for name in theirs]
    yield (f'### {ROOMS[room]} of BasicSR\n\nThose that the files here name; any other one may be named as well.\n\n'
           f"| `type` | its keys |\n|---|---|\n{''.join(lines)}\n")


@cache
def _shipped_types() -> set[str]:
    """Every `type` in the files of options/."""
    return {name for path in (ROOT / 'options').rglob('*.yml')
            for name in re.findall(r'\btype: (\w+)', path.read_text(encoding='utf-8'))}


def _ours(room: str) -> list[str]:
    """The registered names of a room that are the plugin's, sorted."""
    return sorted(name for name, kind in signatures.registered(room).items()
                  if kind.__module__.startswith('cface_basicsr'))


# ---------------------------------------------------------------------------------------------------------- the schemas

def schemas() -> dict[str, str]:
    """File below options/schema/ -> its text."""
    makers: dict[str, Callable[[], Schema]] = {
        'option_file': _option_file, 'recipe': lambda: _laid_over(RecipeFile),
        'benchmark': lambda: _laid_over(BenchmarkFile)}
    return {f'{name}.json': _text(_tidy(make())) for name, make in makers.items()}


def _text(schema: Schema) -> str:
    """JSON with one line for each section."""
    def lines(section: Schema) -> str:
        return ',\n'.join(f'{json.dumps(key)}: {json.dumps(each, ensure_ascii=False)}' for key, each in section.items())

    top = {key: value for key, value in schema.items() if key != '$defs'}
    return f'{{{lines(top)},\n"$defs": {{\n{lines(schema["$defs"])}\n}}}}\n'


def _option_file() -> Schema:
    """One file of each model; a model that is not ours and not a compared one is left to BasicSR."""
    files = [*map(option_file.file_of, option_file.TRAINING), option_file.GenerateFile]
    classes = {room: {name: signatures.section_of(room, name) for name in _ours(room)} for room in ROOMS}
    models = [*files, option_file.OtherFile, *(each for room in classes.values() for each in room.values())]
    names, schema = models_json_schema([(model, 'validation') for model in dict.fromkeys(models)])
    defs, references = schema['$defs'], {model: reference for (model, _), reference in names.items()}
    for room, sections in classes.items():
        theirs = sorted(signatures.registered(room).keys() - sections.keys())
        defs[room] = {'anyOf': [*(_named(name, references[section], defs) for name, section in sections.items()),
                                {'properties': {'type': {'enum': theirs}}, 'required': ['type']}]}
    other = defs[option_file.OtherFile.__name__]
    other['properties']['model_type'] = {'not': {'enum': [*option_file.TRAINING, 'GenerateModel']}}
    schema = {'anyOf': [references[file] for file in (*files, option_file.OtherFile)], '$defs': defs}
    used = set(re.findall(r'#/\$defs/([^"]+)"', json.dumps(_tidy(schema))))
    return schema | {'$defs': {name: content for name, content in defs.items() if name in used}}


def _named(name: str, reference: Schema, defs: dict[str, Schema]) -> Schema:
    """The section of a class, which its `type` has to name."""
    schema = defs[reference['$ref'].rpartition('/')[2]]
    key = f'{name}, by type'
    defs[key] = schema | {'properties': schema.get('properties', {}) | {'type': {'const': name}},
                          'required': sorted({*schema.get('required', ()), 'type'})}
    return {'$ref': f'#/$defs/{key}'}


def _laid_over(model: type[BaseModel]) -> Schema:
    """A file that may be laid over another one: anything may be left to that one, and `~` takes a name away."""
    schema = model.model_json_schema()
    for section in (schema, *schema['$defs'].values()):
        section.pop('required', None)
        for field in section['properties'].values():
            if isinstance(field.get('additionalProperties'), dict):
                field['additionalProperties'] = {'anyOf': [field['additionalProperties'], {'type': 'null'}]}
    base = {'anyOf': [{'type': 'string'}, {'type': 'array', 'items': {'type': 'string'}}],
            'description': 'The file over which this one is laid, or several in their order.'}
    return schema | {'properties': {'base': base, **schema['properties']}}


def _tidy(schema: Any) -> Any:
    """Without the titles, which only repeat names, and with a reference where a registered class may stand."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if 'registered' in schema:
        room = schema['registered']
        return {**{key: value for key, value in schema.items() if key == 'description'}, '$ref': f'#/$defs/{room}'}
    return {key: _tidy(value) for key, value in schema.items() if not (key == 'title' and isinstance(value, str))}


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
    (ROOT / 'options/schema').mkdir(exist_ok=True)
    for file, text in schemas().items():
        (ROOT / 'options/schema' / file).write_text(text, encoding='utf-8')
