"""Differences of saved results: who is compared with whom, by which numbers, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.significance import paired_test
from cface_basicsr.measuring.compare import compare
from cface_basicsr.measuring.results import Compared, DataSet, Facts, Measured, Results, Run

BASE = [0.80, 0.82, 0.78, 0.81, 0.79, 0.83, 0.80, 0.77, 0.82, 0.80]
GAIN = [0.02, 0.03, 0.01, 0.02, 0.03, 0.02, 0.01, 0.04, 0.02, 0.02]
NOISE = [0.02, -0.03, 0.01, -0.02, 0.03, -0.02, 0.01, -0.04, 0.02, 0.03]


def plus(a: list[float], b: list[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]


def save(path: Path, systems: dict[str, list[float]], *, key: str = 'R/accuracy', protocol: str = 'pairs',
         sha256: str = 'a' * 64, shared: float = 0.0, seed: int = 0, scale: int = 8, made_by: Any = 'evaluate',
         recognizer: str = '', led: dict[str, list[str]] | None = None, **switches: object) -> Path:
    """A record with the accuracy of each system in ten folds."""
    data = DataSet('test', 'test', 'c' * 64, 60, 480, [
        Compared(protocol, sha256, '', {'pairs': 6000, 'seed': seed, 'far': 0.01}, shared=shared)])
    runs = [Run(name, scale, measured={'test': Measured({}, {key: folds})}) for name, folds in systems.items()]
    facts = Facts('cface', [], [data], {'R': recognizer}, {}, 'CPU', options={'switches': switches}, led=led or {})
    return Results(made_by, '', facts, list(systems), [scale], runs).save(path)


def test_systems_of_one_name_are_compared_by_a_paired_test(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'HR': BASE, 'X': BASE, 'Y': BASE})
    b = save(tmp_path / 'b.json', {'HR': BASE, 'X': plus(BASE, GAIN), 'Y': plus(BASE, NOISE)})
    table = compare(a, b)
    rows = {row.name: row for row in table.rows}
    assert list(rows) == ['HR: accuracy (R)', 'X: accuracy (R)', 'Y: accuracy (R)']
    gain = rows['X: accuracy (R)'].numbers
    assert gain['difference'] == pytest.approx(np.mean(GAIN)) and gain['error'] == pytest.approx(stats.sem(GAIN))
    assert gain['p'] == pytest.approx(stats.ttest_1samp(GAIN, 0).pvalue) and gain['p_flips'] == 2 / 1024
    assert (gain['a'], gain['b']) == (pytest.approx(np.mean(BASE)), pytest.approx(np.mean(BASE) + np.mean(GAIN)))
    assert [row.instead['verdict'] for row in table.rows] == ['not clearly different', 'clearly better',
                                                              'not clearly different']
    assert '2.20 ± 0.29' in table.markdown()


def test_the_other_way_round_it_is_clearly_worse(tmp_path: Path) -> None:
    a, b = save(tmp_path / 'a.json', {'X': plus(BASE, GAIN)}), save(tmp_path / 'b.json', {'X': BASE})
    assert compare(a, b).rows[0].instead['verdict'] == 'clearly worse'


def test_systems_of_different_names_are_compared_with_one_another(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'HR': BASE, 'SRGAN': BASE})
    b = save(tmp_path / 'b.json', {'HR': BASE, 'C-Face': plus(BASE, GAIN), 'C-Face-v2': BASE})
    assert [row.name for row in compare(a, b).rows] == [
        'HR: accuracy (R)', 'SRGAN → C-Face: accuracy (R)', 'SRGAN → C-Face-v2: accuracy (R)']


def test_a_file_twice_compares_its_systems_and_leaves_hr_out(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'HR': BASE, 'Bicubic': BASE, 'X': plus(BASE, GAIN), 'Y': BASE})
    assert [row.name.split(':')[0] for row in compare(a, a).rows] == ['Bicubic → X', 'Bicubic → Y', 'X → Y']


def test_overlapping_trials_have_the_larger_error_and_say_so(tmp_path: Path) -> None:
    facts = {'protocol': 'blufr', 'shared': 0.74, 'key': 'R/vr'}
    a = save(tmp_path / 'a.json', {'X': BASE}, **facts)
    b = save(tmp_path / 'b.json', {'X': plus(BASE, GAIN)}, **facts)
    table = compare(a, b)
    wanted = paired_test(plus(BASE, GAIN), BASE, shared=0.74)
    assert table.rows[0].numbers['error'] == wanted.error and table.rows[0].numbers['p_flips'] is None
    assert 'share 74% of their test people' in table.notes[-1] and '5.4 times smaller' in table.notes[-1]
    assert wanted.error / paired_test(plus(BASE, GAIN), BASE).error == pytest.approx(5.4, abs=0.05)


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'X': BASE}, flip=False, recognizer='1', scale=4)
    b = save(tmp_path / 'b.json', {'X': BASE}, flip=True, recognizer='2', scale=8)
    note = compare(a, b).notes[2]
    assert note.startswith("They also differ in flip (False and True), scale (4 and 8), recognizer 'R' (another file)")


@pytest.mark.parametrize('blind', ['a', 'b'])
def test_a_recognizer_that_judges_nothing_in_one_of_the_two_gives_no_verdict(tmp_path: Path, blind: str) -> None:
    bicubic = {'a': [value - 0.1 for value in plus(BASE, NOISE)], 'b': [value - 0.1 for value in plus(BASE, GAIN)]}
    bicubic[blind] = plus(BASE, NOISE)
    a, b = (save(tmp_path / f'{name}.json', {'HR': BASE, 'Bicubic': bicubic[name], 'X': folds})
            for name, folds in (('a', BASE), ('b', plus(BASE, GAIN))))
    table = compare(a, b)
    row = next(row for row in table.rows if row.name.startswith('X'))
    assert row.instead['verdict'] == 'no verdict' and row.numbers['clear'] is None
    assert row.numbers['difference'] == pytest.approx(np.mean(GAIN))
    assert any(note.startswith('No verdict: the recognizer judges nothing, since HR is') for note in table.notes)


def test_a_recognizer_that_led_a_loss_of_a_row_is_marked(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'X': BASE})
    b = save(tmp_path / 'b.json', {'X': plus(BASE, GAIN)}, led={'R': ['X']})
    for table in (compare(a, b), compare(b, a)):
        assert 'R led a loss of X; it is not a judge of it.' in table.notes


@pytest.mark.parametrize(('facts', 'message'), [
    ({'protocol': 'lfw'}, "different protocols.*\n.*a.json': pairs on test.*; .*b.json': lfw on test"),
    ({'sha256': 'b' * 64, 'seed': 1}, 'or pairs.*\n.*seed 0, hash aaaaaaaa.*; .*pairs 6000, seed 1, hash bbbbbbbb'),
])
def test_results_that_cannot_be_compared_are_refused(tmp_path: Path, facts: dict, message: str) -> None:
    a, b = save(tmp_path / 'a.json', {'X': BASE}), save(tmp_path / 'b.json', {'X': BASE}, **facts)
    with pytest.raises(UserError, match=message) as refused:
        compare(a, b)
    assert len(str(refused.value).splitlines()) <= 3


def test_a_result_of_an_unknown_protocol_is_refused_with_the_nearest(tmp_path: Path) -> None:
    a, b = save(tmp_path / 'a.json', {'X': BASE}), save(tmp_path / 'b.json', {'X': BASE}, protocol='pears')
    with pytest.raises(UserError, match="b.json': the protocol 'pears' is unknown; did you mean 'pairs'"):
        compare(a, b)


def test_recognizers_of_different_names_share_no_number(tmp_path: Path) -> None:
    a, b = save(tmp_path / 'a.json', {'X': BASE}), save(tmp_path / 'b.json', {'X': BASE}, key='S/accuracy')
    with pytest.raises(UserError, match='R/accuracy against S/accuracy'):
        compare(a, b)


# ---------------------------------------------------------------------------------- records of the three commands

def benchmark(path: Path, runs: list[tuple[str, int, int | None, list[float]]]) -> Path:
    """A benchmark's record: (system, scale, seed, accuracy in each fold), DIR the same plus 0.1."""
    data = DataSet('held-out', 'test', 'c' * 64, 60, 480, [
        Compared('pairs', 'a' * 64, '', {'pairs': 6000, 'seed': 0, 'far': 0.01}),
        Compared('open-set', 'e' * 64, '', {'seed': 0}, shared=0.5)])
    facts = Facts('cface', [0, 1], [data], {'R': ''}, {}, 'CPU')
    found = [Run(system, scale, seed, measured={'held-out': Measured({}, {
        'R/accuracy': folds, 'R/dir': plus(folds, [0.1] * 10)})}) for system, scale, seed, folds in runs]
    return Results('benchmark', '', facts, list(dict.fromkeys(run[0] for run in runs)),
                   sorted({run[1] for run in runs}), found).save(path)


def test_a_benchmark_and_an_evaluation_of_the_same_pairs_are_compared(tmp_path: Path) -> None:
    a = save(tmp_path / 'a.json', {'HR': BASE, 'X': BASE})
    b = benchmark(tmp_path / 'b.json', [('HR', 8, None, BASE), ('X', 8, 0, plus(BASE, GAIN))])
    table = compare(a, b)
    assert [row.name for row in table.rows] == ['HR: accuracy (R)', 'X: accuracy (R)']
    assert table.rows[1].numbers['difference'] == pytest.approx(np.mean(GAIN))
    assert not any(note.startswith('They also differ') for note in table.notes)


def test_seeds_are_averaged_fold_by_fold_and_each_protocol_has_its_own_test(tmp_path: Path) -> None:
    swap = [0.001, -0.001] * 5  # seeds that differ in their folds and not in their means
    a = benchmark(tmp_path / 'a.json', [('X', 8, 0, plus(BASE, swap)), ('X', 8, 1, plus(BASE, swap[::-1]))])
    better = plus(BASE, GAIN)
    b = benchmark(tmp_path / 'b.json', [('X', 8, 0, plus(better, swap)), ('X', 8, 1, plus(better, swap[::-1]))])
    table = compare(a, b)
    rows = {row.name: row.numbers for row in table.rows}
    assert rows['X: accuracy (R)']['error'] == pytest.approx(stats.sem(GAIN))
    wanted = paired_test(GAIN, [0.0] * 10, shared=0.5)
    assert rows['X: dir (R)']['error'] == pytest.approx(wanted.error)
    assert wanted.error > rows['X: accuracy (R)']['error']
    assert any('of this test and of one over the seeds (Welch)' in note for note in table.notes)


def test_a_difference_that_another_seed_does_not_show_is_not_clear(tmp_path: Path) -> None:
    a = benchmark(tmp_path / 'a.json', [('X', 8, seed, BASE) for seed in (0, 1)])
    b = benchmark(tmp_path / 'b.json', [('X', 8, 0, BASE), ('X', 8, 1, plus(BASE, GAIN))])
    row = compare(a, b).rows[0]
    assert stats.ttest_1samp(np.array(GAIN) / 2, 0).pvalue < 0.001  # over the folds by themselves
    seeds = stats.ttest_ind([np.mean(BASE), np.mean(BASE) + np.mean(GAIN)], [np.mean(BASE)] * 2, equal_var=False)
    assert row.numbers['p'] == pytest.approx(seeds.pvalue) and row.instead['verdict'] == 'not clearly different'
    assert row.numbers['error'] == pytest.approx(np.mean(GAIN) / 2)


def test_several_scales_are_kept_apart(tmp_path: Path) -> None:
    runs = [(system, scale, None, BASE) for scale in (4, 8) for system in ('HR', 'X', 'Y')]
    a, b = benchmark(tmp_path / 'a.json', runs), save(tmp_path / 'b.json', {'X': BASE})
    assert [row.name for row in compare(a, a).rows if 'accuracy' in row.name] == [
        'x4, X → Y: accuracy (R)', 'x8, X → Y: accuracy (R)']
    assert [row.name for row in compare(a, b).rows] == ['x8, X: accuracy (R)']
