"""The paper's tables hold the results' own numbers, in the paper's layout, with spreads computed by hand."""

import csv
import io
import statistics
from pathlib import Path

import pytest

from cface_basicsr.measuring.results import Compared, DataSet, Facts, Measured, Results, Run
from cface_basicsr.measuring.table import Table
from cface_basicsr.report.published import published
from cface_basicsr.report.tables import Spread, over_seeds, overview, paper_tables
from tests.report.made_up_results import SYSTEMS, made_up_results


@pytest.fixture(scope='module')
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return made_up_results(tmp_path_factory.mktemp('results'))


def cells_of(table: Table, system: str) -> list[str]:
    names = [row.name for row in table.rows]
    return table.cells('{}')[names.index(system)][1:]


def value(results: Results, system: str, scale: int, seed: int | None, test: str, key: str) -> float:
    return next(run for run in results.runs_of(system, scale) if run.seed == seed).measured[test].numbers[key]


def test_mean_and_spread_are_those_of_pythons_statistics() -> None:
    values = [0.1, 0.4, 0.45, None]
    assert over_seeds(values) == Spread(pytest.approx(statistics.mean(values[:3])),
                                        pytest.approx(statistics.stdev(values[:3])), 3)
    assert over_seeds([0.5]) == Spread(0.5, None, 1)
    assert over_seeds([None]) is None


def test_there_are_the_five_tables_of_the_paper(results: Results) -> None:
    tables = paper_tables(results)
    assert [stem for stem in tables if stem[5].isdigit()] == ['table1', 'table2', 'table3', 'table4', 'table5']
    assert all(f"layout of the paper's Table {number}" in tables[f'table{number}'].title for number in range(1, 6))


def test_headings_are_those_of_the_paper(results: Results) -> None:
    tables = paper_tables(results)
    headings = {stem: [column.heading for column in table.columns] for stem, table in tables.items()}
    assert headings['table1'] == headings['table4'] == ['Scale=4', 'Scale=8']
    assert headings['table2'] == headings['table5'] == ['Scale=4 PSNR (dB)', 'Scale=4 SSIM', 'Scale=8 PSNR (dB)',
                                                        'Scale=8 SSIM']
    assert headings['table3'] == ['Scale=4 VR', 'Scale=4 DIR', 'Scale=8 VR', 'Scale=8 DIR']
    assert [row.name for row in tables['table1'].rows] == SYSTEMS
    assert [row.name for row in tables['table2'].rows] == SYSTEMS[1:]  # the paper has no HR among PSNR and SSIM


def test_a_cell_is_mean_and_standard_deviation_over_the_seeds(results: Results) -> None:
    both = [value(results, 'C-Face-v2', 8, seed, 'held-out', 'sphereface/accuracy') for seed in (0, 1)]
    assert cells_of(paper_tables(results)['table1'], 'C-Face-v2')[1] == (f'{sum(both) / 2:.4f} ± '
                                                                       f'{abs(both[0] - both[1]) / 2 ** 0.5:.4f}')


def test_rates_are_in_per_cent_and_a_missing_one_is_a_dash(results: Results) -> None:
    tables = paper_tables(results)
    rate = 100 * value(results, 'HR', 4, None, 'held-out', 'sphereface/vr')
    assert cells_of(tables['table3'], 'HR')[0] == f'{rate:.4f}'
    assert set(cells_of(tables['table_generated_open_set'], 'VDSR')[1::2]) == {'–'}


def test_the_csv_has_all_digits(results: Results) -> None:
    lines = list(csv.DictReader(io.StringIO(paper_tables(results)['table5'].csv())))
    bicubic = next(line for line in lines if line['system'] == 'Bicubic')
    assert float(bicubic['generated/x8/psnr']) == value(results, 'Bicubic', 8, None, 'generated', 'psnr')
    esrgan = next(line for line in lines if line['system'] == 'ESRGAN')
    both = [value(results, 'ESRGAN', 4, seed, 'generated', 'psnr') for seed in (0, 1)]
    assert float(esrgan['generated/x4/psnr_over_seeds']) == pytest.approx(statistics.stdev(both))


def test_a_failed_seed_leaves_the_others_and_is_named_with_its_reason(results: Results) -> None:
    table = paper_tables(results)['table2']
    assert cells_of(table, 'EDSR')[2] == f"{value(results, 'EDSR', 8, 0, 'held-out', 'psnr'):.4f}"
    sign = next(row.sign for row in table.rows if row.name == 'EDSR')
    assert f'{sign} failed: EDSR x8 (seed 1, the loss is NaN at iteration 42).' in table.notes


def test_a_system_that_failed_with_every_seed_says_so_in_its_row(tmp_path: Path) -> None:
    results = made_up_results(tmp_path, seeds=(1,))
    tables = paper_tables(results)
    assert cells_of(tables['table2'], 'EDSR')[2:] == ['failed', 'failed']
    assert cells_of(overview(results, 8), 'EDSR')[0] == 'failed'
    assert cells_of(tables['table1'], 'EDSR')[0] != 'failed'  # x4 was finished
    assert 'One seed (1), so there is no spread over seeds.' in tables['table1'].notes
    assert '±' not in tables['table1'].markdown()


def test_footnotes_are_explained_with_their_runs(results: Results) -> None:
    table = paper_tables(results)['table1']
    sign = next(row.sign for row in table.rows if row.name == 'VDSR')
    assert f'{sign} not converged: VDSR x8 (seed 0, 1).' in table.notes


def test_widths_are_named_below_the_tables(results: Results) -> None:
    assert ('Widths: VDSR, EDSR, ESRGAN, C-Face-v1, C-Face-v2: 16 of 64 features.'
            in paper_tables(results)['table1'].notes)


def test_the_published_number_follows_ours_and_is_marked_as_of_other_data(results: Results) -> None:
    tables = paper_tables(results, with_published=True)
    assert list(tables) == [f'table{number}' for number in range(1, 6)]
    assert [column.heading for column in tables['table1'].columns] == [
        'Scale=4 ours', 'Scale=4 paper', 'Scale=8 ours', 'Scale=8 paper']
    assert cells_of(tables['table1'], 'VDSR')[1::2] == ['0.9152', '0.7442']
    assert cells_of(tables['table2'], 'ESRGAN')[1::2] == ['33.4906', '0.9233', '28.0794', '0.8001']
    assert cells_of(tables['table3'], 'C-Face-v2')[1::2] == ['63.2833', '26.0716', '30.8874', '10.3348']
    assert cells_of(tables['table4'], 'C-Face-v1')[1::2] == ['–', '–']
    for number in range(1, 6):
        note = tables[f'table{number}'].notes[0]
        assert note == f"Columns 'paper': {published(number).source}. Not comparable with ours."
    ours = paper_tables(results)['table1']
    assert cells_of(tables['table1'], 'VDSR')[::2] == cells_of(ours, 'VDSR')


def test_published_numbers_never_win(results: Results) -> None:
    bold = paper_tables(results, with_published=True)['table1'].cells('**{}**')
    assert not [cell for row in bold for cell in row[2::2] if cell.startswith('**')]


def test_the_overview_has_the_costs_of_each_system(results: Results) -> None:
    table = overview(results, 8)
    headings = [column.title for column in table.columns]
    row = dict(zip(headings, cells_of(table, 'ESRGAN'), strict=True))
    assert row['parameters M'] == '1.235' and row['GMAC per face'] == '2.500' and row['ms per face'] == '12.5'
    assert row['training images/s'] == '80.0' and row['images G'] == '8000' and row['width'] == '16 of 64 features'
    assert any('times on CPU' in note for note in table.notes)


def test_each_of_several_recognizers_has_its_table(results: Results, tmp_path: Path) -> None:
    more = made_up_results(tmp_path)
    more.facts.recognizers['arcface'] = 'e' * 64
    assert {'table1_sphereface', 'table1_arcface', 'table2', 'table3_arcface'} <= set(paper_tables(more))


@pytest.mark.parametrize(('allowed', 'shown'), [(9, True), (4, False)])
def test_the_overview_shows_vr_at_a_lower_far_where_more_than_a_few_pairs_may_pass(allowed: int, shown: bool) -> None:
    compared = Compared('pairs', 'e' * 64, '', {'pairs': 400}, {'allowed': {'0.01': 90, '0.001': allowed}})
    test = DataSet('held-out', 'test', 'b' * 64, 41, 190, [compared])
    numbers = {'dlib/accuracy': 0.9, 'dlib/vr': 0.8, 'dlib/tar@0.001': 0.625, 'psnr': 20.0, 'ssim': 0.5}
    runs = [Run('EDSR', 8, 0, measured={'held-out': Measured(numbers, {})})]
    facts = Facts('', [0], [test], {'dlib': 'd' * 64}, {}, 'CPU')
    table = overview(Results('benchmark', '', facts, ['EDSR'], [8], runs), 8)
    headings = [column.heading for column in table.columns]
    assert ('VR % at FAR 0.1 % (dlib)' in headings) == shown and headings[:2] == ['accuracy % (dlib)', 'VR % (dlib)']
    assert ('62.50' in cells_of(table, 'EDSR')) == shown
