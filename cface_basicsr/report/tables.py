"""The tables of a record.

From the results of a benchmark: the paper's Tables 1 to 5, in the paper's layout, and one overview per scale. From
those of `cface evaluate` and of a recipe: one line per system, as its protocol shows it.

Tables 1 and 4: accuracy; 2 and 5: PSNR and SSIM; 3: VR and DIR. Tables 1 to 3 are filled by the test set that is
declared to be like LFW, 4 and 5 by the one like CelebA. A test set that is like neither gets the same three tables
under its own name.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from cface_basicsr.measuring.judging import judges, judging_notes
from cface_basicsr.measuring.protocols import PROTOCOLS
from cface_basicsr.measuring.results import DataSet, Results, Run
from cface_basicsr.measuring.table import LOOKS_ALIKE, RESTORED, Column, Number, Row, Table
from cface_basicsr.report.published import PublishedTable, published

PUBLISHED = 'published/'
"""Keys of the columns with the paper's own numbers begin with this."""

_SIGNS = '†‡§¶'
_SPREAD = '_over_seeds'
_ENOUGH_PASSING = 5
"""With fewer pairs that may pass, a rate is a matter of chance."""


class _Layout(NamedTuple):
    """One kind of table in the paper.

    Attributes:
        title: with {} for the recognizer, where there is one table per recognizer.
        measures: number of a run -> heading under that of the scale; one without a heading has only the scale's.
        numbers: test set that it is like -> number of the paper's table.
    """

    name: str
    title: str
    measures: dict[str, str]
    numbers: dict[str, int]
    factor: float = 1


_LAYOUTS = (
    _Layout('accuracy', 'Face verification accuracy by {}', {'accuracy': ''}, {'lfw': 1, 'celeba': 4}),
    _Layout('restoration', 'PSNR and SSIM', {'psnr': 'PSNR (dB)', 'ssim': 'SSIM'}, {'lfw': 2, 'celeba': 5}),
    _Layout('open_set', 'VR and DIR in per cent by {}', {'vr': 'VR', 'dir': 'DIR'}, {'lfw': 3}, 100),
)


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


def paper_tables(results: Results, *, with_published: bool = False) -> dict[str, Table]:
    """All tables in the paper's layout.

    Args:
        with_published: each column is followed by the paper's own; only tables that the paper has.

    Returns:
        stem of the file ('table1', or 'table1_<recognizer>' where there are several) -> table.
    """
    tables = {}
    recognizers = list(results.facts.recognizers)
    for test, layout in product(results.tests(), _LAYOUTS):
        number = layout.numbers.get(test.like)
        for recognizer in recognizers if '{}' in layout.title else ['']:
            stem = f'table{number}' if number else f'table_{test.name}_{layout.name}'
            stem += f'_{recognizer}' if recognizer and len(recognizers) > 1 else ''
            if number or not with_published:
                table = _table(results, test, layout, recognizer)
                tables[stem] = _next_to(published(number), table) if with_published else table
    return tables


def overview(results: Results, scale: int) -> Table:
    """Everything of one scale, one line per system: what was measured, and what it costs."""
    columns = [column for test in results.tests() for column in _overview_columns(results, test, scale)]
    columns += [Column('parameters', 'parameters M', 3, best=None, factor=1e-6),
                Column('macs', 'GMAC per face', 3, best=None, factor=1e-9),
                Column('ms_a_face', 'ms per face', 1, best=None),
                Column('images_a_second', 'training images/s', 1, best=None),
                Column('images_g', 'images G', 0, best=None), Column('images_r', 'images R', 0, best=None),
                Column('width', 'width', best=None)]
    signs, notes = _run_notes(results, [scale])
    rows = [_row(results, system, [scale], columns, signs) for system in results.systems]
    for row in rows:
        runs = results.runs_of(row.name, scale)
        row.numbers.update(_cost_numbers(runs))
        row.instead['width'] = next((run.width for run in runs if run.width), '–')
    judging = [note for test in results.tests() for note in judging_notes(results, test, [scale])]
    notes = [_seeds_note(results), *notes, *dict.fromkeys(judging), *_cost_notes(results, scale)]
    return Table(f'All systems at x{scale}', columns, rows, notes)


# ----------------------------------------------------------------------------------------------------------- columns

def _measure(test: DataSet, scale: int, key: str, title: str, group: str, factor: float = 1, digits: int = 4) -> Column:
    key = f'{test.name}/x{scale}/{key}'
    return Column(key, title, digits, factor=factor, spread=key + _SPREAD, group=group)


def _columns(results: Results, test: DataSet, layout: _Layout, recognizer: str) -> list[Column]:
    columns = []
    for scale, (key, title) in product(results.scales, layout.measures.items()):
        heading, group = (title, f'Scale={scale}') if title else (f'Scale={scale}', '')
        column = _measure(test, scale, f'{recognizer}/{key}' if recognizer else key, heading, group, layout.factor)
        columns.append(replace(column, grey=bool(recognizer) and not judges(results, test, scale, recognizer)))
    return columns


def _overview_columns(results: Results, test: DataSet, scale: int) -> list[Column]:
    group = test.name if len(results.tests()) > 1 else ''
    columns = []
    for name in results.facts.recognizers:
        known = {'vr': 'VR %', **_low_rates(test), 'dir': 'DIR %'}
        measured = {'accuracy': 'accuracy %'} | {key: title for key, title in known.items()
                                                 if _is_measured(results, test, f'{name}/{key}')}
        grey = not judges(results, test, scale, name)
        columns += [replace(_measure(test, scale, f'{name}/{key}', f'{title} ({name})', group, 100, 2), grey=grey)
                    for key, title in measured.items()]
    return [*columns, _measure(test, scale, 'psnr', 'PSNR dB', group, 1, 2),
            _measure(test, scale, 'ssim', 'SSIM', group),
            *(replace(_measure(test, scale, each.key, each.title, group), best=each.best) for each in LOOKS_ALIKE
              if _is_measured(results, test, each.key))]


def _low_rates(test: DataSet) -> dict[str, str]:
    """Key and heading of VR at FAR 0.1 %, where enough pairs of different people may pass there."""
    allowed = [each.counts['allowed']['0.001'] for each in test.compared if each.protocol == 'pairs'
               and '0.001' in each.counts.get('allowed', {})]
    return {'tar@0.001': 'VR % at FAR 0.1 %'} if allowed and min(allowed) >= _ENOUGH_PASSING else {}


def _is_measured(results: Results, test: DataSet, key: str) -> bool:
    return any(run.measured[test.name].numbers.get(key) is not None for run in results.measured_on(test))


# -------------------------------------------------------------------------------------------------------------- rows

def _row(results: Results, system: str, scales: Sequence[int], columns: Sequence[Column], signs: dict[str, str]) -> Row:
    """A system's numbers at some scales, and 'failed' where no seed was finished."""
    numbers: dict[str, Number] = {}
    instead: dict[str, str] = {}
    for scale in scales:
        for test in results.tests():
            numbers |= _measured_numbers(results, system, test, scale)
        runs = results.runs_of(system, scale)
        if runs and all(run.status == 'failed' for run in runs):
            instead |= {column.key: 'failed' for column in columns if f'/x{scale}/' in column.key}
    return Row(system, numbers, reference=system == 'HR', sign=signs.get(system, ''), instead=instead)


def _measured_numbers(results: Results, system: str, test: DataSet, scale: int) -> dict[str, Number]:
    measured = [run.measured[test.name].numbers for run in results.measured_on(test, system, scale)]
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

def _table(results: Results, test: DataSet, layout: _Layout, recognizer: str) -> Table:
    columns = _columns(results, test, layout, recognizer)
    signs, notes = _run_notes(results, results.scales)
    rows = [_row(results, system, results.scales, columns, signs) for system in results.systems
            if not (system == 'HR' and layout.name == 'restoration')]  # as in the paper: HR does not differ from itself
    if layout.name == 'open_set':
        notes.insert(0, _open_set_note(test))
    number = layout.numbers.get(test.like)
    title = f'{layout.title.format(recognizer)} on {test.name}'
    return Table(f"{title} (layout of the paper's Table {number})" if number else title, columns, rows,
                 [_seeds_note(results), *notes, *(judging_notes(results, test, results.scales) if recognizer else ()),
                  *_width_notes(results)])


def _next_to(theirs: PublishedTable, table: Table) -> Table:
    """The table with the paper's own column after each of ours."""
    wide = []
    for column in table.columns:
        ours = column if column.group else replace(column, title='ours', group=column.title)
        wide += [ours, Column(PUBLISHED + column.key, 'paper', 4, best=None, factor=column.factor, group=ours.group)]
    for row, column in product(table.rows, table.columns):
        scale, measure = re.search(r'/x(\d+)/(?:.*/)?([^/]+)$', column.key).groups()  # test/x8/recognizer/measure
        row.numbers[PUBLISHED + column.key] = theirs.of(row.name).get((int(scale), measure))
    return Table(table.title, wide, table.rows, [f"Columns 'paper': {theirs.source}. Not comparable with ours.",
                                                 *table.notes])


def _seeds_note(results: Results) -> str:
    seeds = sorted({run.seed for run in results.runs if run.status == 'done' and run.seed is not None})
    if not seeds:
        return 'No row has been trained yet.'
    if len(seeds) == 1:
        return f'One seed ({seeds[0]}), so there is no spread over seeds.'
    return f"Mean ± standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})."


def _open_set_note(test: DataSet) -> str:
    fars = [each.settings['far'] for each in test.compared if 'far' in each.settings]
    far = f'at FAR = {100 * fars[-1]:g} %' if fars else 'not measured'
    return f'VR: verification rate {far}; DIR: detection and identification rate at rank 1. {test.protocol}'.strip()


def _run_notes(results: Results, scales: Sequence[int]) -> tuple[dict[str, str], list[str]]:
    """The signs that follow the names, and one line that explains each: footnotes of runs, failures."""
    noted: dict[str, list[Run]] = {}
    for run in results.runs:
        if run.scale in scales:
            for text in [*run.footnotes, *(['failed'] if run.status == 'failed' else [])]:
                noted.setdefault(text, []).append(run)
    signs: dict[str, str] = {}
    notes = []
    for place, (text, runs) in enumerate(noted.items()):
        sign = _SIGNS[place % len(_SIGNS)] * (1 + place // len(_SIGNS))
        notes.append(f'{sign} {text}: {_describe_runs(runs)}.')
        for system in dict.fromkeys(run.system for run in runs):
            signs[system] = signs.get(system, '') + sign
    return signs, notes


def _describe_runs(runs: Sequence[Run]) -> str:
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
    widths = [f"{', '.join(names)}: {width}" for width, names in systems.items()]
    return [f"Widths: {'; '.join(widths)}."] if widths else []


def _cost_notes(results: Results, scale: int) -> list[str]:
    devices = sorted({run.costs.device for run in results.runs if run.scale == scale and run.costs} - {''})
    if not devices:
        return []
    return ['Costs of one face: multiply-accumulates of convolutions and matrix products; times on '
            f"{', '.join(devices)}. Images G and R: how many went through the generator and the recognizer in all "
            'steps of the training.']


def systems_table(results: Results, test: DataSet) -> Table:
    """The systems on a test set: by the first of its protocols, PSNR and SSIM, and the images of their trainings."""
    kind, compared, runs = PROTOCOLS[test.compared[0].protocol], test.compared[0], results.measured_on(test)
    scale = next(iter(results.scales), None)
    columns = [replace(column, grey=not judges(results, test, scale, name)) for name in results.facts.recognizers
               for column in kind.columns(name, compared)]
    if any(run.measured[test.name].numbers.get('psnr') is not None for run in runs if run.system != 'HR'):
        columns += RESTORED
    columns += [column for column in LOOKS_ALIKE if any(column.key in run.measured[test.name].numbers for run in runs)]
    if any(run.images_g is not None for run in runs):
        columns += [Column('images_g', 'images G', 0, best=None), Column('images_r', 'images R', 0, best=None)]
    return Table('', columns, [Row(run.system, _numbers(run, test), reference=run.system == 'HR') for run in runs],
                 judging_notes(results, test, [scale]))


def _numbers(run: Run, test: DataSet) -> dict[str, Number]:
    images = {} if run.images_g is None else {'images_g': run.images_g, 'images_r': run.images_r}
    return run.measured[test.name].numbers | images


def evaluation_table(results: Results) -> Table:
    """All of `cface evaluate`: the systems, and below them equal error and true accept rates where there are any."""
    test = results.tests()[0]
    table, compared = systems_table(results, test), test.compared[0]
    what = f'{test.images:,} images of {test.identities:,} identities, x{results.scales[0]}' if results.scales else \
        f'{test.images:,} precomputed features'
    table.title = results.title
    table.notes = [f'{what}; {compared.note}', *results.facts.notes, *table.notes]
    scale = next(iter(results.scales), None)
    for name in results.facts.recognizers:
        if rates := PROTOCOLS[compared.protocol].rates(name, table.rows, compared):
            grey = not judges(results, test, scale, name)
            table.below = [*table.below, replace(rates, columns=[replace(column, grey=grey)
                                                                 for column in rates.columns])]
    return table


def domain_table(results: Results) -> Table:
    """Stages by the mean distances of the paper's section 3.4, in [0, 4]."""
    columns = [Column('sr_hr', 'L_SI(SR, HR)', 3, best=None), Column('sr_compare', 'L_SI(SR, C)', 3, best=None),
               Column('hr_compare', 'L_SI(HR, C)', 3, best=None)]
    return Table('Mean distances between SR, HR and C, the nearest other photo of the same identity', columns,
                 [Row(title, values) for title, values in results.domains.items()])
