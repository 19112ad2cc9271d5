"""What a recognizer's numbers are good for, on numbers that are made up so that the answer is known."""

from copy import deepcopy

import numpy as np
import pytest

from cface_basicsr.measuring.judging import gains, judge_of, judges, judging_notes
from cface_basicsr.measuring.results import Compared, DataSet, Facts, Measured, Results, Run
from cface_basicsr.report.latex import latex_table
from cface_basicsr.report.tables import evaluation_table, overview, paper_tables, systems_table
from cface_basicsr.report.verdicts import verdicts

TEST = DataSet('held-out', 'test', 'b' * 64, 41, 190,
               [Compared('pairs', 'e' * 64, 'Ten folds.', {'pairs': 400, 'folds': 10, 'far': 0.01})])
SYSTEMS = ('HR', 'Bicubic', 'EDSR', 'C-Face-v1')
SPREAD = np.array([0.01, -0.01] * 5)
LOSS, DLIB, BLIND = (0.9, 0.7, 0.75, 0.85), (0.95, 0.75, 0.80, 0.80), (0.52, 0.52, 0.55, 0.6)
"""Accuracies of the systems by three recognizers; the last one does not tell HR from Bicubic."""


def made_up(led: dict[str, list[str]], **recognizers: tuple[float, ...]) -> Results:
    runs = []
    for place, system in enumerate(SYSTEMS):
        folds = {f'{name}/accuracy': list(values[place] + SPREAD * (1 + 0.3 * place))
                 for name, values in recognizers.items()}
        numbers = {key: float(np.mean(values)) for key, values in folds.items()} | {'psnr': 20.0 + place, 'ssim': 0.5}
        runs.append(Run(system, 8, None if place < 2 else 0, measured={'held-out': Measured(numbers, folds)}))
    facts = Facts('cface train x.yml', [0], [TEST], {name: 'd' * 64 for name in recognizers}, {}, 'CPU', led=led)
    return Results('benchmark', 'made up', facts, list(SYSTEMS), [8], runs)


def test_a_recognizer_judges_if_it_tells_hr_from_bicubic() -> None:
    results = made_up({}, dlib=DLIB, blind=BLIND)
    assert judges(results, TEST, 8, 'dlib') and not judges(results, TEST, 8, 'blind')
    assert judges(results, TEST, 8, 'never measured')  # nothing is known against it


def test_a_column_of_one_that_judges_nothing_is_grey_has_no_best_and_gives_no_verdict() -> None:
    results = made_up({}, dlib=DLIB, blind=BLIND)
    for table in (overview(results, 8), systems_table(results, TEST), evaluation_table(results),
                  paper_tables(results)['table_held-out_accuracy_blind']):
        text = table.markdown()
        assert '60' in text and '**(' not in text
        assert any('(60.' in line or '(0.60' in line for line in text.splitlines())
        assert 'In brackets: blind judges nothing, since HR is not clearly above Bicubic by it' in text
        assert r'\textcolor{gray}{(' in latex_table(table) and 'xcolor' in latex_table(table)
    assert 'xcolor' not in latex_table(paper_tables(results)['table_held-out_accuracy_dlib'])
    lines = verdicts(results)['x8 on held-out']
    assert [line for line in lines if 'blind' in line] == [
        'blind judges nothing: HR is not clearly above Bicubic by it (p < 5 % in a paired t-test over the folds).']
    assert any(line.startswith('By dlib, C-Face-v1') for line in lines)


def test_its_equal_error_and_true_accept_rates_are_grey_too() -> None:
    results = deepcopy(made_up({}, dlib=DLIB, blind=BLIND))
    results.facts.data[0].compared[0].counts |= {'genuine': 200, 'impostor': 200, 'allowed': {'0.01': 2}}
    for run in results.runs:
        run.measured['held-out'].numbers |= {f'{name}/eer': 0.1 for name in ('dlib', 'blind')}
    tables = {table.title: table.columns for table in evaluation_table(results).below}
    assert {title[-6:]: {column.grey for column in columns} for title, columns in tables.items()} == {
        '(dlib)': {False}, 'blind)': {True}}


def test_pictures_are_drawn_by_a_recognizer_that_led_no_loss_in_whatever_order() -> None:
    for led, judge in (({'loss': ['X']}, 'dlib'), ({}, 'loss'), ({'loss': ['X'], 'dlib': ['X']}, 'loss')):
        assert judge_of(made_up(led, dlib=DLIB, loss=LOSS)) == judge


def test_a_recognizer_that_led_a_loss_is_marked_in_every_table_with_its_rows() -> None:
    results = made_up({'loss': ['C-Face-v1']}, loss=LOSS, dlib=DLIB)
    note = 'loss led a loss of C-Face-v1; it is not a judge of it.'
    tables = [overview(results, 8), systems_table(results, TEST), evaluation_table(results),
              *(table for name, table in paper_tables(results).items() if 'restoration' not in name)]
    assert all(note in table.notes for table in tables) and len(tables) == 7
    assert not any('No judge' in line for line in judging_notes(results, TEST, [8]))
    alone = made_up({'loss': ['EDSR', 'C-Face-v1']}, loss=LOSS)
    assert judging_notes(alone, TEST, [8])[-1] == 'No judge: every recognizer here led a loss.'


def test_gains_by_the_losss_recognizer_and_by_the_judge_are_next_to_each_other() -> None:
    results = made_up({'loss': ['C-Face-v1']}, loss=LOSS, dlib=DLIB, blind=BLIND)
    line = ('Gain by loss / gain by dlib, in points of accuracy over Bicubic (in per cent of what HR gains): '
            'EDSR +5.0 / +5.0 (25 / 25 %); C-Face-v1 +15.0 / +5.0 (75 / 25 %).')
    assert gains(results, TEST, 8) == [line] and line in verdicts(results)['x8 on held-out']
    assert gains(made_up({}, loss=LOSS, dlib=DLIB), TEST, 8) == []


@pytest.mark.parametrize('led', [{}, {'loss': ['C-Face-v1']}])
def test_without_anything_to_say_no_line_is_added(led: dict[str, list[str]]) -> None:
    assert bool(judging_notes(made_up(led, loss=LOSS, dlib=DLIB), TEST, [8])) == bool(led)
