"""YAML as users write it: numbers as they look, no key lost, and one line about whatever cannot be read."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr import registration
from cface_basicsr.errors import UserError
from cface_basicsr.files.yaml_file import parse_yaml, read_yaml, to_yaml

REPOSITORY = Path(__file__).parents[2]
FILES = sorted((REPOSITORY / 'options').rglob('*.yml'))


def refusal(text: str | bytes, folder: Path) -> str:
    """What is said about a file with this content."""
    path = folder / 'x.yml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and message.startswith(f"'{path}'")
    return message.removeprefix(f"'{path}'")


# ------------------------------------------------------------------------------------------------------------- numbers

@pytest.mark.parametrize(('text', 'value'), [
    ('1e2', 100), ('5e3', 5000), ('-2E+1', -20), ('1e-1', 0.1), ('2.5e3', 2500.0), ('1.e2', 100.0), ('.5e1', 5.0),
    ('!!float 5e3', 5000), ('!!float 1e-4', 0.0001), ('!!float 1600', 1600), ('!!float 2.0', 2.0), ('1.0e-5', 0.00001),
    ('12', 12), ('1.5', 1.5), ('"1e2"', '1e2'), ("'1e2'", '1e2'), ('e2', 'e2'), ('1e', '1e'), ('1e2x', '1e2x'),
    ('v1e2', 'v1e2')])
def test_a_number_with_an_exponent_is_a_number_unless_it_is_quoted(text: str, value: Any) -> None:
    read = parse_yaml(f'a: {text}', 'x')['a']
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(('text', 'value'), [
    ('010', '010'), ('1:30', '1:30'), ('1:30.5', '1:30.5'), ('-1:30', '-1:30'), ('0', 0), ('-0', 0), ('0x1F', 31),
    ('1_000', 1000)])
def test_what_yaml_1_1_reads_as_another_number_than_it_shows_stays_a_text(text: str, value: Any) -> None:
    """YAML 1.1 has octal numbers with a 0 in front, and minutes and seconds: 8 and 90."""
    read = parse_yaml(f'a: {text}', 'x')['a']
    assert read == value and type(read) is type(value)


@given(sign=st.sampled_from(['', '-', '+']), whole=st.integers(0, 999), part=st.sampled_from(['', '.', '.0', '.25']),
       e=st.sampled_from('eE'), exponent_sign=st.sampled_from(['', '-', '+']), exponent=st.integers(0, 12))
def test_a_number_is_what_python_reads_and_counts_if_it_is_whole_and_has_no_point(
        sign: str, whole: int, part: str, e: str, exponent_sign: str, exponent: int) -> None:
    text = f'{sign}{whole}{part}{e}{exponent_sign}{exponent}'
    read = parse_yaml(f'[{text}]', 'x')[0]
    assert read == float(text)
    assert isinstance(read, int) == (not part and float(text) % 1 == 0)


TEXTS = st.text(st.sampled_from('01e.+-~: #x\'"é'), max_size=6) | st.sampled_from(['null', 'true', 'no', '1e5', '<<'])
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e6, 1e6) | TEXTS,
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
                      max_leaves=6)


@given(value=st.dictionaries(TEXTS, VALUES, max_size=3), flow=st.sampled_from([None, False]))
def test_what_is_written_is_read_as_it_was_also_a_text_that_looks_like_a_number(value: Any, flow: bool | None) -> None:
    assert parse_yaml(to_yaml(value, flow), 'x') == value


# ------------------------------------------------------------------------------------------------------------ all keys

@pytest.mark.parametrize(('text', 'line', 'key', 'first'), [
    ('a: 1\nb: 2\na: 3\n', 3, 'a', 1), ('s:\n  k: 1\n  "k": 1\n', 3, 'k', 2), ('- {a: 1, b: 2, a: 1}\n', 1, 'a', 1),
    ('s: &s {x: 1}\nt:\n  <<: *s\n  <<: *s\n', 4, '<<', 3), ('a: {b: [{c: 1,\n  c: 2}]}\n', 2, 'c', 1)])
def test_a_key_that_is_given_twice_is_named_with_both_lines(
        text: str, line: int, key: str, first: int, tmp_path: Path) -> None:
    assert refusal(text, tmp_path) == (f", line {line}: '{key}' is given twice in one section, first in line {first}. "
                                       'Keep one of them.')


def sections(node: yaml.Node) -> list[yaml.MappingNode]:
    """The sections below a node that are not written in one line, each once, however many aliases repeat it."""
    found, todo = {}, [node]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.CollectionNode) and id(node) not in found:
            found[id(node)] = node
            todo += [each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,))]
    return [node for node in found.values() if isinstance(node, yaml.MappingNode) and not node.flow_style]


@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_a_key_doubled_in_any_section_of_any_file_is_refused(path: Path, tmp_path: Path) -> None:
    lines = path.read_text(encoding='utf-8').splitlines(keepends=True)
    found = sections(yaml.compose(''.join(lines)))
    assert found
    for section in found:
        key, last = section.value[0][0], section.value[-1][0].start_mark.line
        doubled = f"{' ' * key.start_mark.column}{key.value}: 1\n"
        message = refusal(''.join([*lines[:last], doubled, *lines[last:]]), tmp_path)
        assert f"'{key.value}' is given twice" in message and f'line {last + 1}' in message


def test_an_alias_repeats_a_section_and_lays_it_under_another_without_doubling_a_key() -> None:
    text = 's: [&s {a: 1, <<: {a: 2, b: 3}}]\nt: {<<: *s, a: 5}\nu: *s\nv: [{<<: *s, b: 6}]\n'
    section = {'a': 1, 'b': 3}
    assert parse_yaml(text, 'x') == {'s': [section], 't': {'a': 5, 'b': 3}, 'u': section, 'v': [{'a': 1, 'b': 6}]}


def test_of_several_sections_laid_under_one_the_first_wins_and_its_own_keys_before_all() -> None:
    """As YAML's merge keys are defined; PyYAML 6.0.4 lets the last one win."""
    text = ('a: &a {lr: 1, seed: 1}\nb: &b {lr: 2, decay: 2, width: 2}\n'
            'c: &c {<<: [*a, *b], width: 3}\nd: {<<: [*c, *b]}\n')
    merged = {'lr': 1, 'seed': 1, 'decay': 2, 'width': 3}
    read = parse_yaml(text, 'x')
    assert read['c'] == merged and read['d'] == merged
    assert list(read['c']) == ['lr', 'decay', 'width', 'seed']  # the lowest section's keys come first


# --------------------------------------------------------------------------------------------------- what is refused

@pytest.mark.parametrize(('encoding', 'message'), [
    ('utf-16', ' is in UTF-16, expected UTF-8: '), ('utf-16-be', ' is in UTF-16, expected UTF-8: '),
    ('utf-16-le', ' is in UTF-16, expected UTF-8: '),
    ('utf-32', ' is in UTF-32, expected UTF-8: '), ('gbk', ', line 2: expected UTF-8, and this looks like GBK. '),
    ('cp1252', ', line 2: expected UTF-8, and this looks like Windows-1252 ')])
def test_a_file_in_another_encoding_is_refused_by_the_name_of_the_encoding(
        encoding: str, message: str, tmp_path: Path) -> None:
    text = 'a: 1\n' + ('b: né #\n' if encoding == 'cp1252' else 'b: 学习率\n')
    content = b'\xfe\xff' * (encoding == 'utf-16-be') + text.encode(encoding)
    assert refusal(content, tmp_path).startswith(message)


def test_the_mark_that_windows_puts_before_utf_8_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / 'x.yml').write_text('a: é\n', encoding='utf-8-sig')
    assert read_yaml(tmp_path / 'x.yml') == {'a': 'é'}


@pytest.mark.parametrize('text', [
    'a: [1', 'a: 2024-13-01', 'a: !!int x', 'a: !!timestamp x', 'a: !!python/object/apply:os.mkdir ["made"]',
    '? [1]\n: 2', 'a: &a [*a]', 'a: *b', '\ta: 1', 'a: 1\n---\nb: 2', 'a: \x07', 'a: {<<: 1}', '[' * 5000])
def test_what_is_no_yaml_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    assert 'is not valid YAML: ' in refusal(text, tmp_path)
    assert not Path('made').exists()


@pytest.mark.parametrize('text', [
    'plugin: !!python/name:evil.mod.X', 'a: 1\nb: [{c: !!python/name:evil.mod.X ""}]',
    'plugin: !<tag:yaml.org,2002:python/name:evil.mod.X>',
    '%TAG !e! tag:yaml.org,2002:python/name:evil.\n---\na: !e!mod.X'])
def test_a_module_that_a_file_names_is_refused_with_the_option_that_names_it(text: str, tmp_path: Path) -> None:
    line = 1 + text.count('\n')
    assert refusal(text, tmp_path) == (
        f", line {line}: '!!python/name:evil.mod.X' names a module, and no module is imported because a file names it. "
        'Write !!python/name:cface_basicsr.register.NAME, and give yours by --plugin evil.mod.')
    assert parse_yaml('a: !!python/name:cface_basicsr.register.NAME', 'x') == {'a': 'cface_basicsr.register.NAME'}


def test_a_module_that_the_user_has_named_may_be_named_by_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, '_admitted', ['evil.mod'])
    assert parse_yaml('a: !!python/name:evil.mod.X', 'x') == {'a': 'evil.mod.X'}
    with pytest.raises(UserError, match=r'--plugin evil\.$'):
        parse_yaml('a: !!python/name:evil.X', 'x')


def test_a_file_that_is_missing_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^recipe 'nowhere\.yml' is missing\. Expected a YAML file\.$"):
        read_yaml('nowhere.yml', 'recipe')


# ----------------------------------------------------------------------------------------------------- the only reader

def test_nothing_else_reads_yaml() -> None:
    readers = {f'{kind}load{many}' for kind in ('', 'safe_', 'full_', 'unsafe_') for many in ('', '_all')}
    found = set()
    for path in (path for room in ('cface_basicsr', 'performance', 'docs', 'scripts')
                 for path in (REPOSITORY / room).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            reads = isinstance(node, ast.Attribute) and node.attr in readers and getattr(node.value, 'id', '') == 'yaml'
            other = isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] in ('yaml', 'ruamel')
            if reads or other:
                found.add(str(path.relative_to(REPOSITORY)))
    assert found == {'cface_basicsr/files/yaml_file.py'}
