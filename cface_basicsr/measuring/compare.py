"""Two results, number by number: what is the difference, and is it more than chance?

Results of `cface evaluate`, `cface train` and `cface benchmark` alike; only numbers of one protocol on the same pairs
(by hash) are compared, since the test is paired: fold by fold, or trial by trial. See `evaluation.significance` for
the test and what it assumes.
"""

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cface_basicsr.errors import UserError, check_known
from cface_basicsr.evaluation.significance import LEVEL, clear_sign, paired_test
from cface_basicsr.measuring.judging import RULE, error_over_seeds, judges, led_notes
from cface_basicsr.measuring.protocols import PROTOCOLS
from cface_basicsr.measuring.results import Compared, DataSet, Results, load_results
from cface_basicsr.measuring.table import Column, Number, Row, Table

NO_VERDICT = 'no verdict'
VERDICTS = {1: 'clearly better', 0: 'not clearly different', -1: 'clearly worse'}

_COLUMNS = [Column('a', 'A %', 2, best=None, factor=100), Column('b', 'B %', 2, best=None, factor=100),
            Column('difference', 'B - A, points', 2, best=None, factor=100, spread='error'),
            Column('p', 'p (t-test)', 4, best=None), Column('p_flips', 'p (sign flips)', 4, best=None),
            Column('verdict', 'B is', best=None)]

_USUAL = {'precomputed': False, 'sides': 'both', 'flip': False, 'color': 'rgb', 'border': 0}
"""How `cface train` and `cface benchmark` measure; they have no options for it."""

_System = tuple[str, int | None]
"""Its name; and its scale, where one of the two results has several."""


class _Side(NamedTuple):
    """One of the two results: all numbers of one protocol on one of its test sets.

    Attributes:
        systems: system -> number ('R/accuracy') -> its values (seeds, folds); instead of folds, trials or parts.
    """

    results: Results
    test: DataSet
    compared: Compared
    systems: dict[_System, dict[str, list[list[float]]]]

    def judges(self, key: str, system: _System) -> bool:
        """Whether the recognizer of a number ('R/accuracy') tells HR from Bicubic at the scale of a system."""
        scale = system[1] or next(iter(self.results.scales), None)
        return judges(self.results, self.test, scale, key.rpartition('/')[0])


def compare(a: Path, b: Path) -> Table:
    """The differences B - A of all numbers that both have folds or trials of, and whether they are clear.

    Systems of one name are compared with each other; those that only one file has, with those that only the other
    has. Where both are the same file, its systems are compared with each other. A recognizer that judges nothing on one
    of the two sides gives no verdict.

    Raises:
        UserError: they are not results, or of different protocols or pairs.
    """
    first, second = (_sides(*paths) for paths in ((a, b), (b, a)))
    both = [(one, other) for one in first for other in second
            if (one.compared.protocol, one.compared.sha256) == (other.compared.protocol, other.compared.sha256)]
    if not both:
        raise UserError('the results are of different protocols or pairs, so their difference says nothing:\n'
                        f"'{a}': {_describe(first)}; '{b}': {_describe(second)}.\n"
                        'Evaluate both on the same data with the same options.')
    rows: list[Row] = []
    notes = [f'A: {a}', f'B: {b}']
    for one, other in both:
        found = _rows(one, other, a.resolve() == b.resolve(), len({side.test.name for side, _ in both}) > 1)
        rows += found
        notes += [*_other_facts(one, other), *_judging(one, other, found), _assumption(one)] if found else []
    if not rows:
        raise UserError(f"'{a}' and '{b}' share no number with folds: {_listed(first)} against {_listed(second)}.\n"
                        'Give the recognizers the same names: --recognizer NAME=FILE')
    facts = {'a': str(a), 'b': str(b), 'compared': [
        {'protocol': one.compared.protocol, 'sha256': one.compared.sha256, 'shared': one.compared.shared,
         'count': _count(one)} for one, _ in both]}
    return Table('', _COLUMNS, rows, list(dict.fromkeys(notes)), facts)


def _sides(path: Path, other: Path) -> list[_Side]:
    """All that one of the results compares; scales are kept apart where either of the two has several.

    Raises:
        UserError: it was measured by a protocol that is not known here.
    """
    results = load_results(path)
    for name in (compared.protocol for test in results.tests() for compared in test.compared):
        check_known(f"'{path}': the protocol", name, PROTOCOLS)
    by_scale = max(len(results.scales), len(load_results(other).scales)) > 1
    return [_Side(results, test, compared, _systems(results, test, compared, by_scale))
            for test in results.tests() for compared in test.compared]


def _systems(results: Results, test: DataSet, compared: Compared,
             by_scale: bool) -> dict[_System, dict[str, list[list[float]]]]:
    runs: dict[_System, list[dict[str, list[float]]]] = {}
    for run in results.runs:
        if run.status == 'done' and test.name in run.measured:
            system = run.system, run.scale if by_scale else None
            runs.setdefault(system, []).append(run.measured[test.name].per_fold)
    paired = PROTOCOLS[compared.protocol].paired
    return {system: {key: [seed[key] for seed in seeds] for key in seeds[0] if key.rpartition('/')[2] in paired}
            for system, seeds in runs.items()}


def _describe(sides: list[_Side]) -> str:
    """What was compared: protocol, data, and what distinguishes two draws of pairs."""
    texts = []
    for side in sides:
        settings = side.compared.settings
        counts = ''.join(f', {key} {settings[key]}' for key in ('pairs', 'seed') if key in settings)
        texts.append(f'{side.compared.protocol} on {side.test.name}{counts}, hash {side.compared.sha256[:12]}')
    return ' and '.join(texts)


# ---------------------------------------------------------------------------------------------------------- the table

def _rows(first: _Side, second: _Side, itself: bool, by_test: bool) -> list[Row]:
    rows = []
    for a, b in _pairs(list(first.systems), list(second.systems), itself):
        values_a, values_b = first.systems[a], second.systems[b]
        label = ', '.join(filter(None, [first.test.name if by_test else '', f'x{a[1]}' if a[1] else '',
                                        a[0] if a == b else f'{a[0]} → {b[0]}']))
        rows += [_row(f'{label}: {_describe_key(key)}', values_a[key], values_b[key], first.compared.shared,
                      judged=first.judges(key, a) and second.judges(key, b)) for key in values_a if key in values_b]
    return rows


def _pairs(first: list[_System], second: list[_System], itself: bool) -> Iterator[tuple[_System, _System]]:
    """Pairs of systems of the same scale, one of each result."""
    found = list(combinations((system for system in first if system[0] != 'HR'), 2)) if itself else [
        *((system, system) for system in first if system in second),
        *product((system for system in first if system not in second),
                 (system for system in second if system not in first))]
    return ((one, other) for one, other in found if one[1] == other[1])


def _describe_key(key: str) -> str:
    """'R/accuracy' -> 'accuracy (R)', which a narrow console can wrap."""
    recognizer, _, number = key.rpartition('/')
    return f'{number} ({recognizer})'


def _row(label: str, a: list[list[float]], b: list[list[float]], shared: float, judged: bool) -> Row:
    """A difference with the larger of its errors over the folds and over the seeds."""
    folds_a, folds_b = np.mean(a, axis=0), np.mean(b, axis=0)
    test = paired_test(folds_b, folds_a, shared=shared)
    error, p = error_over_seeds(test.mean, b, a)
    clear = clear_sign(test.mean, max(test.p, p))
    numbers: dict[str, Number] = {
        'a': float(folds_a.mean()), 'b': float(folds_b.mean()), 'difference': test.mean,
        'error': max(test.error, error), 'p': max(test.p, p), 'p_flips': test.p_flips,
        'clear': clear if judged else None}
    return Row(label, numbers, instead={'verdict': VERDICTS[clear] if judged else NO_VERDICT})


def _judging(one: _Side, other: _Side, rows: list[Row]) -> list[str]:
    """Lines on the recognizers that led a loss, and on those that judge nothing."""
    silent = any(row.instead['verdict'] == NO_VERDICT for row in rows)
    return [*dict.fromkeys([*led_notes(one.results), *led_notes(other.results)]),
            *([f'{NO_VERDICT.capitalize()}: the recognizer judges nothing, since {RULE}.'] if silent else [])]


def _count(side: _Side) -> int:
    """How many folds, trials or parts."""
    return next((len(values[0]) for numbers in side.systems.values() for values in numbers.values()), 0)


def _assumption(side: _Side) -> str:
    """What the test assumes."""
    kind, shared, count = PROTOCOLS[side.compared.protocol], side.compared.shared, _count(side)
    times = (1 + count * shared / (1 - shared)) ** 0.5
    several = any(len(values) > 1 for numbers in side.systems.values() for values in numbers.values())
    seeds = ' With several seeds, the larger error and p of this test and of one over the seeds (Welch).' * several
    return (f'Paired over {count} {kind.unit}; ± is the standard error, clear means p below {100 * LEVEL:g} % in the '
            f't-test.{seeds} {kind.assumption.format(shared=shared, times=times)}')


def _other_facts(a: _Side, b: _Side) -> list[str]:
    """What else differs between the two, in one line; networks and features are expected to differ."""
    first, second = (_facts(side) for side in (a, b))
    lines = [f'{name} ({first[name]} and {second[name]})' for name in first if first[name] != second[name]]
    ours, theirs = (side.results.facts.recognizers for side in (a, b))
    lines += [f"recognizer '{name}' (another file)" for name in ours if ours[name] != theirs.get(name, ours[name])]
    return [f"They also differ in {', '.join(lines)}: the difference may come from any of it."] if lines else []


def _facts(side: _Side) -> dict[str, Any]:
    switches, settings = side.results.facts.options.get('switches', {}), side.compared.settings
    return {name: switches.get(name, usual) for name, usual in _USUAL.items()} | {
        'scale': ', '.join(map(str, side.results.scales)), 'far': settings.get('far'),
        'far_identification': settings.get('far_identification'), "the data's manifest": side.test.sha256[:12]}


def _listed(sides: list[_Side]) -> str:
    return ', '.join(sorted({key for side in sides for numbers in side.systems.values() for key in numbers})) or 'none'
