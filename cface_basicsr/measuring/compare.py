"""Two results, number by number: what is the difference, and is it more than chance?

Results of `cface evaluate`, `cface train` and `cface benchmark` alike; only numbers of one protocol on the same pairs
(by hash) are compared, since the test is paired: fold by fold, or trial by trial. See `evaluation.significance` for
the test and what it assumes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.significance import LEVEL, PairedTest, paired_test
from cface_basicsr.measuring.protocols import PROTOCOLS
from cface_basicsr.measuring.results import Compared, DataSet, Results, Run, load_results
from cface_basicsr.measuring.table import Column, Number, Row, Table

VERDICTS = {1: 'clearly better', 0: 'not clear', -1: 'clearly worse'}

_COLUMNS = [Column('a', 'A %', 2, best=None, factor=100), Column('b', 'B %', 2, best=None, factor=100),
            Column('difference', 'B - A, points', 2, best=None, factor=100, spread='error'),
            Column('p', 'p (t-test)', 4, best=None), Column('p_flips', 'p (sign flips)', 4, best=None),
            Column('verdict', 'B is', best=None)]

_USUAL = {'precomputed': False, 'sides': 'both', 'flip': False, 'color': 'rgb', 'border': 0}
"""The switches of `cface train` and `cface benchmark`, which have no options for them."""

_System = tuple[str, int | None]
"""Its name; and its scale, where one of the two results has several."""


@dataclass(frozen=True)
class _Side:
    """One of the two results: all numbers of one protocol on one of its test sets.

    Attributes:
        systems: system -> number ('R/accuracy') -> its value in each fold, trial or part, means over the seeds.
    """

    path: Path
    results: Results
    test: DataSet
    compared: Compared
    systems: dict[_System, dict[str, list[float]]]


def compare(a: Path, b: Path) -> Table:
    """The differences B - A of all numbers that both have folds or trials of, and whether they are clear.

    Systems of one name are compared with one another; those that only one file has, with those that only the other
    has. A file with itself: its systems among one another.

    Raises:
        UserError: not results, or of other protocols or pairs.
    """
    sides = _sides(a, b)
    rows: list[Row] = []
    notes = [f'A: {a}', f'B: {b}']
    for first, second in sides:
        found = _rows(first, second, first.test.name if len({pair[0].test.name for pair in sides}) > 1 else '')
        rows += found
        notes += [*_other_facts(first, second), _assumption(first)] if found else []
    if not rows:
        raise UserError(f"'{a}' and '{b}' share no number with folds: {_listed(sides, 0)} against "
                        f'{_listed(sides, 1)}.\n'
                        'Name the recognizers alike: --recognizer NAME=FILE')
    facts = {'a': str(a), 'b': str(b), 'compared': [
        {'protocol': first.compared.protocol, 'sha256': first.compared.sha256, 'shared': first.compared.shared,
         'count': _count(first)} for first, _ in sides]}
    return Table('', _COLUMNS, rows, list(dict.fromkeys(notes)), facts)


def _sides(a: Path, b: Path) -> list[tuple[_Side, _Side]]:
    """What was compared in the same way in both."""
    first, second = load_results(a), load_results(b)
    by_scale = max(len(first.scales), len(second.scales)) > 1
    found = [(_Side(a, first, *one, _systems(first, *one, by_scale)),
              _Side(b, second, *two, _systems(second, *two, by_scale)))
             for one in _all_compared(first) for two in _all_compared(second)
             if (one[1].protocol, one[1].sha256) == (two[1].protocol, two[1].sha256)]
    if not found:
        protocols = [{compared.protocol for _, compared in _all_compared(each)} for each in (first, second)]
        what, describe = ('pairs or images', _describe_pairs) if protocols[0] & protocols[1] else (
            'protocols', _describe_protocol)
        raise UserError(f'the results are of different {what}, so their difference says nothing:\n'
                        f"'{a}': {describe(first)}; '{b}': {describe(second)}.\n"
                        'Evaluate both on the same data with the same options.')
    return found


def _all_compared(results: Results) -> list[tuple[DataSet, Compared]]:
    return [(test, compared) for test in results.tests() for compared in test.compared]


def _describe_protocol(results: Results) -> str:
    return ', '.join(compared.protocol for _, compared in _all_compared(results))


def _describe_pairs(results: Results) -> str:
    texts = []
    for test, compared in _all_compared(results):
        seed = f", seed {compared.settings['seed']}" if 'seed' in compared.settings else ''
        count = f"{compared.settings['pairs']} pairs{seed}, " if 'pairs' in compared.settings else ''
        texts.append(f'{test.name}, {count}hash {compared.sha256[:12]}')
    return ' and '.join(texts)


def _systems(results: Results, test: DataSet, compared: Compared,
             by_scale: bool) -> dict[_System, dict[str, list[float]]]:
    runs: dict[_System, list[Run]] = {}
    for run in results.runs:
        if run.status == 'done' and test.name in run.measured:
            runs.setdefault((run.system, run.scale if by_scale else None), []).append(run)
    paired = PROTOCOLS[compared.protocol].paired
    return {system: {key: np.mean([run.measured[test.name].per_fold[key] for run in seeds], axis=0).tolist()
                     for key in seeds[0].measured[test.name].per_fold if key.rpartition('/')[2] in paired}
            for system, seeds in runs.items()}


# ---------------------------------------------------------------------------------------------------------- the table

def _rows(first: _Side, second: _Side, test: str) -> list[Row]:
    rows = []
    for a, b in _pairs(first, second):
        values_a, values_b = first.systems[a], second.systems[b]
        label = ', '.join(filter(None, [test, f'x{a[1]}' if a[1] else '', a[0] if a == b else f'{a[0]} → {b[0]}']))
        rows += [_row(f'{label}: {_describe_key(key)}', paired_test(values_b[key], values_a[key],
                                                                   shared=first.compared.shared),
                      values_a[key], values_b[key]) for key in values_a if key in values_b]
    return rows


def _pairs(a: _Side, b: _Side) -> Iterator[tuple[_System, _System]]:
    """Systems of one scale, one of each side."""
    if a.path.resolve() == b.path.resolve():
        found = list(combinations((system for system in a.systems if system[0] != 'HR'), 2))
    else:
        found = [(system, system) for system in a.systems if system in b.systems]
        found += product(*([system for system in one.systems if system not in other.systems]
                           for one, other in ((a, b), (b, a))))
    return ((one, other) for one, other in found if one[1] == other[1])


def _describe_key(key: str) -> str:
    """'R/accuracy' -> 'accuracy (R)', which a narrow console can wrap."""
    recognizer, _, number = key.rpartition('/')
    return f'{number} ({recognizer})'


def _row(label: str, test: PairedTest, a: list[float], b: list[float]) -> Row:
    numbers: dict[str, Number] = {
        'a': sum(a) / len(a), 'b': sum(b) / len(b), 'difference': test.mean, 'error': test.error, 'p': test.p,
        'p_flips': test.p_flips, 'clear': test.clear}
    return Row(label, numbers, instead={'verdict': VERDICTS[test.clear]})


def _count(side: _Side) -> int:
    """How many folds, trials or parts."""
    return next((len(values) for numbers in side.systems.values() for values in numbers.values()), 0)


def _assumption(side: _Side) -> str:
    """What the test took for granted."""
    kind, shared, count = PROTOCOLS[side.compared.protocol], side.compared.shared, _count(side)
    times = (1 + count * shared / (1 - shared)) ** 0.5
    return (f'Paired over {count} {kind.unit}; ± is the standard error, clear means p below {100 * LEVEL:g} % in the '
            f't-test. {kind.assumption.format(shared=shared, times=times)}')


def _other_facts(a: _Side, b: _Side) -> list[str]:
    """What else differs between the two, in one line; networks and features are expected to."""
    facts = [_facts(side) for side in (a, b)]
    lines = [f'{name} ({facts[0][name]} and {facts[1][name]})' for name in facts[0] if facts[0][name] != facts[1][name]]
    hashes = [side.results.facts.recognizers for side in (a, b)]
    lines += [f"recognizer '{name}' (another file)" for name in hashes[0] if name in hashes[1]
              and hashes[0][name] != hashes[1][name]]
    return [f"They also differ in {', '.join(lines)}: the difference is of all of it together."] if lines else []


def _facts(side: _Side) -> dict[str, Any]:
    switches, settings = side.results.facts.options.get('switches', {}), side.compared.settings
    return {name: switches.get(name, usual) for name, usual in _USUAL.items()} | {
        'scale': ', '.join(map(str, side.results.scales)), 'far': settings.get('far'),
        'far_identification': settings.get('far_identification'), "the data's manifest": side.test.sha256[:12]}


def _listed(sides: list[tuple[_Side, _Side]], place: int) -> str:
    keys = {key for pair in sides for numbers in pair[place].systems.values() for key in numbers}
    return ', '.join(sorted(keys)) or 'none'
