"""Two results of `cface evaluate`, number by number: what is the difference, and is it more than chance?

Only results of the same protocol on the same pairs (by hash) are compared, since the test is paired: fold by fold, or
trial by trial. See `evaluation.significance` for the test and what it assumes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.significance import LEVEL, PairedTest, paired_test
from cface_basicsr.measuring.table import Column, Number, Row, Table

VERDICTS = {1: 'clearly better', 0: 'not clear', -1: 'clearly worse'}

_COLUMNS = [Column('a', 'A %', 2, best=None, factor=100), Column('b', 'B %', 2, best=None, factor=100),
            Column('difference', 'B - A, points', 2, best=None, factor=100, spread='error'),
            Column('p', 'p (t-test)', 4, best=None), Column('p_flips', 'p (sign flips)', 4, best=None),
            Column('verdict', 'B is', best=None)]
_UNITS = {'pairs': 'folds', 'lfw': 'folds', 'blufr': 'trials', 'identification': 'parts of the people'}
_ASSUMED = {
    'folds': 'The folds are taken as independent. Their thresholds come from mostly the same pairs (and a pairs file '
             'may have a person in two folds), so p is somewhat too small.',
    'trials': 'Trials overlap: two of them share {shared:.0%} of their test people. The standard error is enlarged for '
              'that (Nadeau and Bengio 2003); without it, it would be {times:.1f} times smaller.',
    'parts of the people': 'People are dealt to parts, and A and B are means over the parts. All parts search the same '
                           'gallery, so p is somewhat too small.'}


@dataclass(frozen=True)
class Result:
    """A saved result.

    Attributes:
        systems: system -> number ('R/accuracy') -> its value in each fold or trial.
    """

    path: Path
    facts: dict[str, Any]
    systems: dict[str, dict[str, list[float]]]


def compare(a: Path, b: Path) -> Table:
    """The differences B - A of all numbers that both have folds or trials of, and whether they are clear.

    Systems of one name are compared with one another; those that only one file has, with those that only the other
    has. A file with itself: its systems among one another.

    Raises:
        UserError: no results of `cface evaluate`, of another protocol, or of other pairs.
    """
    first, second = read_result(a), read_result(b)
    _refuse_different(first, second)
    shared, unit = float(first.facts['shared']), _UNITS[first.facts['protocol']]
    rows = []
    for (name_a, values_a), (name_b, values_b) in _systems(first, second):
        label = name_a if name_a == name_b else f'{name_a} → {name_b}'
        rows += [_row(f'{label}: {_in_words(key)}', paired_test(values_b[key], values_a[key], shared=shared),
                      values_a[key], values_b[key]) for key in values_a if key in values_b]
    if not rows:
        raise UserError(f"'{a}' and '{b}' share no number with folds: {_listed(first)} against {_listed(second)}.\n"
                        'Name the recognizers alike: --recognizer NAME=FILE')
    count = next(len(values) for numbers in first.systems.values() for values in numbers.values())
    assumed = _ASSUMED[unit].format(shared=shared, times=(1 + count * shared / (1 - shared)) ** 0.5)
    notes = [f'A: {a}', f'B: {b}', *_other_facts(first, second),
             f'Paired over {count} {unit}; ± is the standard error, clear means p below {100 * LEVEL:g} % in the '
             f't-test. {assumed}']
    facts = {'a': str(a), 'b': str(b), 'protocol': first.facts['protocol'], 'shared': shared, 'count': count,
             'compared_sha256': first.facts['compared_sha256']}
    return Table('', _COLUMNS, rows, notes, facts)


def read_result(path: Path) -> Result:
    """A result that `cface evaluate --out` saved.

    Raises:
        UserError: the file is missing, or is none.
    """
    if not path.is_file():
        raise UserError(f"'{path}' is missing: expected a result that `cface evaluate … --out NAME` saved (NAME.json).")
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        facts = content['facts']
        if not {'protocol', 'compared_sha256', 'shared'} <= facts.keys() or facts['protocol'] not in _UNITS:
            raise KeyError
        systems = {row['system']: {key: [float(value) for value in values]
                                   for key, values in row.get('per_fold', {}).items()} for row in content['rows']}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' is no result of `cface evaluate`, or an old one without its folds.\n"
                        'Evaluate again with --out NAME, and give NAME.json.') from error
    return Result(path, facts, systems)


def _refuse_different(a: Result, b: Result) -> None:
    for name, what in (('protocol', 'protocols'), ('compared_sha256', 'pairs or images')):
        if a.facts[name] != b.facts[name]:
            raise UserError(f'the results are of different {what}, so their difference says nothing:\n'
                            f"'{a.path}': {_said(a, name)}; '{b.path}': {_said(b, name)}.\n"
                            'Evaluate both on the same data with the same options.')


def _said(result: Result, name: str) -> str:
    if name == 'protocol':
        return result.facts[name]
    facts = result.facts
    seed = f", seed {facts['seed']}" if 'seed' in facts else ''
    count = f"{facts['pairs']} pairs{seed}, " if 'pairs' in facts else ''
    return f"{Path(facts.get('data', '?')).name}, {count}hash {facts[name][:12]}"


_System = tuple[str, dict[str, list[float]]]


def _systems(a: Result, b: Result) -> Iterator[tuple[_System, _System]]:
    if a.path.resolve() == b.path.resolve():
        yield from combinations(((name, values) for name, values in a.systems.items() if name != 'HR'), 2)
        return
    yield from (((name, a.systems[name]), (name, b.systems[name])) for name in a.systems if name in b.systems)
    yield from product(*([each for each in one.systems.items() if each[0] not in other.systems]
                         for one, other in ((a, b), (b, a))))


def _in_words(key: str) -> str:
    """'R/accuracy' -> 'accuracy (R)', which a narrow console can wrap."""
    recognizer, _, number = key.rpartition('/')
    return f'{number} ({recognizer})'


def _row(label: str, test: PairedTest, a: list[float], b: list[float]) -> Row:
    numbers: dict[str, Number] = {
        'a': sum(a) / len(a), 'b': sum(b) / len(b), 'difference': test.mean, 'error': test.error, 'p': test.p,
        'p_flips': test.p_flips, 'clear': test.clear}
    return Row(label, numbers, instead={'verdict': VERDICTS[test.clear]})


def _other_facts(a: Result, b: Result) -> list[str]:
    """What else differs between the two, in one line; networks and features are expected to."""
    lines = []
    switches = [result.facts.get('switches', {}) for result in (a, b)]
    for name in sorted(switches[0].keys() | switches[1].keys()):
        values = [each.get(name) for each in switches]
        if values[0] != values[1]:
            lines.append(f'{name} ({values[0]} and {values[1]})')
    for name in ('scale', 'far', 'far_identification', 'manifest_sha256'):
        values = [result.facts.get(name) for result in (a, b)]
        if values[0] != values[1]:
            lines.append(f'{name} ({values[0]} and {values[1]})')
    hashes = [{name: file.get('sha256') for name, file in result.facts.get('recognizers', {}).items()}
              for result in (a, b)]
    lines += [f"recognizer '{name}' (another file)" for name in hashes[0].keys() & hashes[1].keys()
              if hashes[0][name] != hashes[1][name]]
    return [f"They also differ in {', '.join(lines)}: the difference is of all of it together."] if lines else []


def _listed(result: Result) -> str:
    keys = {key for numbers in result.systems.values() for key in numbers}
    return ', '.join(sorted(keys)) or 'none'
