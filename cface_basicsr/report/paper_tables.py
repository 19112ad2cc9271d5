"""The paper's Tables 1 to 5 from the results of a benchmark, in the paper's layout; and one overview a scale.

Table 1 and 4: accuracy; 2 and 5: PSNR and SSIM; 3: VR and DIR. Tables 1 to 3 are of the test set that stands for LFW,
4 and 5 of the one that stands for CelebA. A test set that stands for neither gets the same three under its own name.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cface_basicsr.measuring.results import DataSet, Results, Run
from cface_basicsr.measuring.table import Column, Number, Row, Table
from cface_basicsr.report.published import published

PUBLISHED = 'published/'
"""Keys of the columns with the paper's own numbers begin with this."""

_NUMBERS_OF = {'lfw': {'accuracy': 1, 'restoration': 2, 'open_set': 3}, 'celeba': {'accuracy': 4, 'restoration': 5}}
_SIGNS = '†‡§¶'
_SPREAD = '_over_seeds'


class Spread(NamedTuple):
    """Mean over seeds, standard deviation (divisor n - 1; None for one seed), number of seeds."""

    mean: float
    std: float | None
    seeds: int


def over_seeds(values: Iterable[Number]) -> Spread | None:
    """Mean and spread of what the seeds gave; None where nothing was measured.

    >>> over_seeds([1.0, 2.0, None])
    Spread(mean=1.5, std=0.7071067811865476, seeds=2)
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    std = float(np.std(known, ddof=1)) if len(known) > 1 and np.isfinite(known).all() else None
    return Spread(float(np.mean(known)), std, len(known))


def paper_tables(results: Results, *, beside_published: bool = False) -> dict[str, Table]:
    """All tables in the paper's layout.

    Args:
        beside_published: each column is followed by the paper's own; only tables that the paper has.

    Returns:
        stem of the file ('table1', or 'table1_<recognizer>' where there are several) -> table.
    """
    tables = {}
    for test in results.tests():
        for kind, columns in _kinds(results, test):
            number = _NUMBERS_OF.get(test.like, {}).get(kind.split('/')[0])
            if not (beside_published and number is None):
                stem = _stem(number, test, kind, len(results.facts.recognizers))
                tables[stem] = _table(results, test, kind, columns, number, beside_published)
    return tables


def overview(results: Results, scale: int) -> Table:
    """Everything of one scale, a line a system: what was measured, and what it costs."""
    columns = [column for test in results.tests() for column in _overview_columns(results, test, scale)]
    columns += [Column('parameters', 'parameters M', 3, best=None, factor=1e-6),
                Column('macs', 'GMAC a face', 3, best=None, factor=1e-9),
                Column('ms_a_face', 'ms a face', 1, best=None),
                Column('images_a_second', 'training images/s', 1, best=None),
                Column('images_g', 'images G', 0, best=None), Column('images_r', 'images R', 0, best=None),
                Column('width', 'width', best=None)]
    signs, notes = _run_notes(results, [scale])
    rows = [_row(results, system, [scale], columns, signs) for system in results.systems]
    notes = [_seeds_note(results), *notes, *_cost_notes(results, scale)]
    return Table(f'All systems at x{scale}', columns, rows, notes)


# ----------------------------------------------------------------------------------------------------------- columns

def _kinds(results: Results, test: DataSet) -> list[tuple[str, list[Column]]]:
    """accuracy and open_set by each recognizer, restoration once; each with its columns over the scales."""
    scales, kinds = results.scales, []
    for name in results.facts.recognizers:
        kinds.append((f'accuracy/{name}', [_measure(test, scale, f'{name}/accuracy', f'Scale={scale}', '')
                                           for scale in scales]))
    kinds.append(('restoration', [_measure(test, scale, key, title, f'Scale={scale}') for scale in scales
                                  for key, title in (('psnr', 'PSNR (dB)'), ('ssim', 'SSIM'))]))
    for name in results.facts.recognizers:
        kinds.append((f'open_set/{name}', [_measure(test, scale, f'{name}/{key}', title, f'Scale={scale}', 100)
                                           for scale in scales for key, title in (('vr', 'VR'), ('dir', 'DIR'))]))
    return kinds


def _measure(test: DataSet, scale: int, key: str, title: str, group: str, factor: float = 1, digits: int = 4) -> Column:
    key = f'{test.name}/x{scale}/{key}'
    return Column(key, title, digits, factor=factor, spread=key + _SPREAD, group=group)


def _overview_columns(results: Results, test: DataSet, scale: int) -> list[Column]:
    group = test.name if len(results.tests()) > 1 else ''
    columns = []
    for name in results.facts.recognizers:
        columns.append(_measure(test, scale, f'{name}/accuracy', f'accuracy % ({name})', group, 100, 2))
        columns += [_measure(test, scale, f'{name}/{key}', f'{title} % ({name})', group, 100, 2)
                    for key, title in (('vr', 'VR'), ('dir', 'DIR')) if _is_measured(results, test, f'{name}/{key}')]
    return [*columns, _measure(test, scale, 'psnr', 'PSNR dB', group, 1, 2),
            _measure(test, scale, 'ssim', 'SSIM', group)]


def _is_measured(results: Results, test: DataSet, key: str) -> bool:
    measured = [run.measured[test.name] for run in results.runs if test.name in run.measured]
    return any(each.numbers.get(key) is not None for each in measured)


# -------------------------------------------------------------------------------------------------------------- rows

def _row(results: Results, system: str, scales: Sequence[int], columns: Sequence[Column], signs: dict[str, str]) -> Row:
    """A system's numbers at some scales, and 'failed' where no seed was finished."""
    numbers: dict[str, Number] = {}
    instead: dict[str, str] = {}
    for scale in scales:
        runs = results.runs_of(system, scale)
        for test in results.tests():
            numbers |= _measured_numbers(runs, test, scale)
        if runs and all(run.status == 'failed' for run in runs):
            instead |= {column.key: 'failed' for column in columns if f'/x{scale}/' in column.key}
        if len(scales) == 1:
            numbers |= _cost_numbers(runs)
            instead['width'] = next((run.width for run in runs if run.width), '–')
    return Row(system, numbers, reference=system == 'HR', sign=signs.get(system, ''), instead=instead)


def _measured_numbers(runs: Sequence[Run], test: DataSet, scale: int) -> dict[str, Number]:
    measured = [run.measured[test.name].numbers for run in runs if run.status == 'done' and test.name in run.measured]
    numbers: dict[str, Number] = {}
    for key in dict.fromkeys(key for each in measured for key in each):
        spread = over_seeds(each.get(key) for each in measured)
        if spread is not None:
            place = f'{test.name}/x{scale}/{key}'
            numbers |= {place: spread.mean, place + _SPREAD: spread.std}
    return numbers


def _cost_numbers(runs: Sequence[Run]) -> dict[str, Number]:
    costs = [run.costs for run in runs if run.costs]
    values = {key: over_seeds(getattr(cost, key) for cost in costs)
              for key in ('parameters', 'macs', 'ms_a_face', 'images_a_second')}
    values |= {key: over_seeds(getattr(run, key) for run in runs if run.status == 'done')
               for key in ('images_g', 'images_r')}
    return {key: value.mean for key, value in values.items() if value is not None}


# ------------------------------------------------------------------------------------------------------ tables, notes

def _stem(number: int | None, test: DataSet, kind: str, recognizers: int) -> str:
    kind, _, recognizer = kind.partition('/')
    name = f'table{number}' if number else f'table_{test.name}_{kind}'
    return f'{name}_{recognizer}' if recognizer and recognizers > 1 else name


def _table(results: Results, test: DataSet, kind: str, columns: list[Column], number: int | None,
           beside: bool) -> Table:
    signs, notes = _run_notes(results, results.scales)
    rows = [_row(results, system, results.scales, columns, signs) for system in results.systems
            if not (system == 'HR' and kind == 'restoration')]  # as in the paper: HR differs from itself by nothing
    notes = [_seeds_note(results), *_open_set_notes(test, kind), *notes, *_width_notes(results)]
    if beside:
        columns, rows = _with_published(number, test, columns, rows)
        notes.insert(0, f"Columns 'paper': {published(number).source}. Not comparable with ours.")
    return Table(_title(number, test, kind), columns, rows, notes)


def _title(number: int | None, test: DataSet, kind: str) -> str:
    kind, _, recognizer = kind.partition('/')
    what = {'accuracy': f'Face verification accuracy by {recognizer}', 'restoration': 'PSNR and SSIM',
            'open_set': f'VR and DIR in per cent by {recognizer}'}[kind]
    layout = f" (layout of the paper's Table {number})" if number else ''
    return f'{what} on {test.name}{layout}'


def _with_published(number: int, test: DataSet, columns: list[Column],
                    rows: list[Row]) -> tuple[list[Column], list[Row]]:
    """Behind each column the paper's own."""
    theirs, wide = published(number), []
    for column in columns:
        ours = column if column.group else Column(column.key, 'ours', column.digits, spread=column.spread,
                                                  group=column.title)
        wide += [ours, Column(PUBLISHED + column.key, 'paper', 4, best=None, factor=column.factor, group=ours.group)]
    for row in rows:
        for (scale, measure), value in theirs.of(row.name).items():
            for column in columns:
                parts = column.key.split('/')
                if (parts[0], parts[1], parts[-1]) == (test.name, f'x{scale}', measure):
                    row.numbers[PUBLISHED + column.key] = value
    return wide, rows


def _seeds_note(results: Results) -> str:
    seeds = results.facts.seeds
    if len(seeds) == 1:
        return f'One seed ({seeds[0]}): there is no spread over seeds.'
    return f"Mean ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})."


def _open_set_notes(test: DataSet, kind: str) -> list[str]:
    if not kind.startswith('open_set'):
        return []
    fars = [each.settings['far'] for each in test.compared if 'far' in each.settings]
    far = f'at FAR = {100 * fars[-1]:g} %' if fars else 'not measured'
    return [f'VR: verification rate {far}; DIR: detection and identification rate at rank 1. {test.protocol}'.strip()]


def _run_notes(results: Results, scales: Sequence[int]) -> tuple[dict[str, str], list[str]]:
    """Signs behind the names, and a line for each that explains it: footnotes of runs, failures."""
    said: dict[str, list[Run]] = {}
    for run in results.runs:
        if run.scale in scales:
            for text in [*run.footnotes, *(['failed'] if run.status == 'failed' else [])]:
                said.setdefault(text, []).append(run)
    signs: dict[str, str] = {}
    notes = []
    for place, (text, runs) in enumerate(said.items()):
        sign = _SIGNS[place % len(_SIGNS)] * (1 + place // len(_SIGNS))
        notes.append(f'{sign} {text}: {_runs_in_words(runs)}.')
        for system in dict.fromkeys(run.system for run in runs):
            signs[system] = signs.get(system, '') + sign
    return signs, notes


def _runs_in_words(runs: Sequence[Run]) -> str:
    """Systems with their scales, seeds and, where they failed, reasons; equal ones once."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        reason = f', {run.reason}' if run.status == 'failed' else ''
        seeds.setdefault((f'{run.system} x{run.scale}', reason), []).extend([] if run.seed is None else [run.seed])
    return '; '.join(f"{name} (seed {', '.join(map(str, numbers))}{reason})" if numbers else f'{name}{reason}'
                     for (name, reason), numbers in seeds.items())


def _width_notes(results: Results) -> list[str]:
    systems: dict[str, list[str]] = {}
    for system, width in dict.fromkeys((run.system, run.width) for run in results.runs if run.width):
        systems.setdefault(width, []).append(system)
    said = [f"{', '.join(names)}: {width}" for width, names in systems.items()]
    return [f"Widths: {'; '.join(said)}."] if said else []


def _cost_notes(results: Results, scale: int) -> list[str]:
    devices = sorted({run.costs.device for run in results.runs if run.scale == scale and run.costs} - {''})
    if not devices:
        return []
    return ['Costs of one face: multiply-accumulates of convolutions and matrix products; times on '
            f"{', '.join(devices)}. Images G and R: how many went through the generator and the recognizer in "
            'training, all steps.']
