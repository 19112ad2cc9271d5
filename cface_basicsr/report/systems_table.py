"""One line per system, as its protocol shows it: the table of `cface evaluate` and of a recipe."""

from dataclasses import replace

from cface_basicsr.measuring.protocols import PROTOCOLS
from cface_basicsr.measuring.results import DataSet, Results, Run
from cface_basicsr.measuring.table import RESTORED, Column, Number, Row, Table
from cface_basicsr.report.judging import judges, judging_notes


def systems_table(results: Results, test: DataSet) -> Table:
    """The systems on a test set: by the first of its protocols, PSNR and SSIM, and the images of their trainings."""
    kind, compared, runs = PROTOCOLS[test.compared[0].protocol], test.compared[0], results.measured_on(test)
    scale = next(iter(results.scales), None)
    columns = [replace(column, grey=not judges(results, test, scale, name)) for name in results.facts.recognizers
               for column in kind.columns(name, compared)]
    if any(run.measured[test.name].numbers.get('psnr') is not None for run in runs if run.system != 'HR'):
        columns += RESTORED
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
    table.below = [rates for name in results.facts.recognizers
                   if (rates := PROTOCOLS[compared.protocol].rates(name, table.rows, compared))]
    return table


def domain_table(results: Results) -> Table:
    """Stages by the mean distances of the paper's section 3.4, in [0, 4]."""
    columns = [Column('sr_hr', 'L_SI(SR, HR)', 3, best=None), Column('sr_compare', 'L_SI(SR, C)', 3, best=None),
               Column('hr_compare', 'L_SI(HR, C)', 3, best=None)]
    return Table('Mean distances between SR, HR and C, the nearest other photo of the same identity', columns,
                 [Row(title, values) for title, values in results.domains.items()])
