"""docs/baselines.md, the comments of the option files and the options say the same: schedules, multipliers, departures.

None can go stale: the numbers of the page's tables are compared with the files, and what a file calls different from
its source with the page, both ways.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from cface_basicsr.options import read_option_file
from tests.test_published_schedules import PUBLISHED, SPHEREFACE, NetFile, optimizers, path_of
from tests.tiny_stages import REPOSITORY

PAGE = (REPOSITORY / 'docs/baselines.md').read_text(encoding='utf-8')
OPTIONS = REPOSITORY / 'options'
FILES = {path.stem: path for path in OPTIONS.glob('cface_stage*.yml')} | {name: path_of(name) for name in PUBLISHED}
"""The stages, and the trainings of the systems of the paper's tables (`tests/test_published_schedules.py`)."""
FALLS = {0.5: 'halved', 0.1: '÷ 10'}


def table(first: str) -> list[list[str]]:
    """The rows of the page's table whose first column has this title, as cells."""
    (block,) = re.findall(rf'^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)', PAGE, re.M)
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in block.splitlines()]


def names_in(cell: str) -> list[str]:
    return re.findall(r'`([^`]+)`', cell)


# ------------------------------------------------------------------------------------------------------- the trainings

def number(value: float) -> str:
    """0.1, 0.01, 2.5e-4."""
    mantissa, exponent = f'{value:e}'.split('e')
    return f'{value:g}' if value >= 0.001 else f'{float(mantissa):g}e{int(exponent)}'


def falls(milestones: list[int], gamma: float, total: int) -> str:
    step = milestones[0]
    regular = len(milestones) > 1 and milestones == list(range(step, total, step))
    where = f'every {step:,}' if regular else 'at ' + ', '.join(f'{each:,}' for each in milestones)
    return f"{FALLS.get(gamma, f'× {gamma:g}')} {where}"


def described(section: dict[str, Any], train: dict[str, Any]) -> str:
    """An optimizer with its schedule, in the words of the page."""
    schedule = section.get('schedule') or train['scheduler']
    parts = [f"{section['type']} {number(section['lr'])}"]
    parts += [f"momentum {section['momentum']:g}"] if section.get('momentum') else []
    parts += [falls(schedule['milestones'], schedule['gamma'], train['total_iter'])] if schedule['milestones'] else []
    parts += [f"decay {number(section['weight_decay'])}"] if section.get('weight_decay') else []
    return ', '.join([*parts, *(['clipped'] if section.get('clip_norm') else [])])


def biases(section: dict[str, Any]) -> str:
    names = {'lr': 'rate', 'decay': 'decay'}
    return ', '.join(f'{names[key]} × {value:g}' for key, value in section.get('bias', {}).items())


TRAININGS = {names_in(row[1])[0]: row for row in table('system')}


def test_the_table_has_every_training_of_a_compared_system_and_the_recognizer() -> None:
    assert set(TRAININGS) == set(PUBLISHED)


@pytest.mark.parametrize('name', TRAININGS)
def test_a_row_says_what_its_file_trains_by(name: str) -> None:
    opt = read_option_file(FILES[name])
    train, (_, _, model, _, optimizer, multipliers, length) = opt['train'], TRAININGS[name]
    assert names_in(model) == [opt['model_type']]
    each = {label: described(section, train) for label, section in optimizers(train).items()}
    called = {'g': 'CNN_H', 'r': 'CNN_R'}
    assert optimizer == (each.popitem()[1] if len(set(each.values())) == 1
                         else '; '.join(f'{called[label]}: {text}' for label, text in each.items()))
    assert {multipliers} == {biases(section) for section in optimizers(train).values()}
    assert length == f"{train['total_iter']:,} × {opt['datasets']['train']['batch_size']}"


def test_the_multipliers_are_those_of_the_net_files_and_of_the_options() -> None:
    listed = set()
    for network, files, *pairs, _ in table('network'):
        weight, bias, slope = (tuple(map(float, pair.split(', '))) if pair else (1, 1) for pair in pairs)
        label = 'r' if network == 'CNN_R' else 'g'
        for name in names_in(files):
            net = PUBLISHED[name].nets[label] if name in PUBLISHED else SPHEREFACE
            assert net == NetFile(weight=weight, bias=bias, slope=slope), name
            section = read_option_file(FILES[name])['train'][f'optim_{label}']
            assert (section['bias']['lr'], section['bias'].get('decay', 1)) == bias
            assert bool(section['weight_decay']) == bool(weight[1])
            listed.add((name, label))
    with_bias = {(name, label) for name, path in FILES.items()
                 for label, section in optimizers(read_option_file(path).get('train', {})).items() if 'bias' in section}
    assert listed == with_bias


# ------------------------------------------------------------------------------------------------------ the departures

Departure = tuple[str, str, str, str]
"""File, option ('' where none says it), here, there."""


def places(node: yaml.Node, path: str = '') -> Iterator[tuple[int, str, yaml.Node]]:
    """(line, dotted name, value) of every option of a file that stands on a line of its own."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        name = f'{path}.{key.value}'.strip('.')
        yield key.start_mark.line, name, value
        if not getattr(value, 'flow_style', True):
            yield from places(value, name)


def value_of(opt: dict[str, Any], name: str) -> Any:
    for key in name.split('.'):
        opt = opt[key]
    return opt


def departures_of(name: str) -> Iterator[Departure]:
    """What the comments of a file call different, with the values that its options have."""
    text, opt = FILES[name].read_text(encoding='utf-8'), read_option_file(FILES[name])
    at = {line: option for line, option, _ in places(yaml.compose(text, Loader=yaml.SafeLoader))}
    for number_of_line, line in enumerate(text.splitlines()):
        if found := re.search(r'differs from (.+? \([^)]+\))', line):
            here = value_of(opt, at[number_of_line])
            yield name, at[number_of_line], str(here).lower() if isinstance(here, bool) else str(here), found[1]
        elif found := re.fullmatch(r'# Differs from ([^:]+): (.+) \(there (.+?)\).*\.', line):
            yield name, '', found[2], f'{found[3]} ({found[1]})'


@cache
def of_the_page() -> set[Departure]:
    rows = table('files')
    return {(name, (names_in(option) or [''])[0], here, there) for files, option, here, there, _ in rows
            for name in names_in(files)}


def test_what_the_files_call_different_is_what_the_page_lists() -> None:
    found = [departure for name in FILES for departure in departures_of(name)]
    assert len(found) == len(set(found)) > 50
    assert set(found) - of_the_page() == set()  # not on the page
    assert of_the_page() - set(found) == set()  # not in a file


def yaml_value(text: str) -> Any:
    return yaml.safe_load(text.rpartition(' (')[0])


def test_no_value_is_called_different_from_itself_and_every_departure_has_a_reason() -> None:
    for name, option, _, there in of_the_page():
        if option:
            assert value_of(read_option_file(FILES[name]), option) != yaml_value(there), (name, option)
    assert all(row[-1] for row in table('files'))


@pytest.mark.parametrize(('name', 'option', 'published'), [
    ('cface_stage3', 'train.optim_r.type', 'Adam'), ('edsr', 'datasets.train.batch_size', 64),
    ('sicnn_pre', 'datasets.train.batch_size', 64), ('esrgan', 'train.optim_g.betas', [0.9, 0.999]),
    ('esrgan', 'train.optim_d.betas', [0.9, 0.999]), ('esrgan_psnr', 'train.optim_g.betas', [0.9, 0.999])])
def test_these_departures_from_the_papers_are_named(name: str, option: str, published: Any) -> None:
    (there,) = (there for file, what, _, there in departures_of(name) if what == option)
    assert yaml_value(there) == published


def test_every_batch_that_is_not_c_faces_is_named() -> None:
    for name, path in FILES.items():
        batch = read_option_file(path)['datasets'].get('train', {}).get('batch_size', 64)
        named = [there for _, option, _, there in departures_of(name) if option == 'datasets.train.batch_size']
        assert named == ([] if batch == 64 else ['64 (C-Face)']), name
