"""Sentences say what the numbers say: by hand for a few folds and seeds."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cface_basicsr.measuring.results import DataSet, Facts, Measured, Results, Run
from cface_basicsr.report.verdicts import difference, verdicts
from tests.report.made_up_results import made_up_results

TEST = DataSet('t', 'test', '', 2, 2)


def results(**folds: list[list[float]]) -> Results:
    """System -> for each seed its accuracy in each fold."""
    systems = ['HR', 'Bicubic', *(name for name in folds if name != 'Bicubic')]
    runs = [Run('HR', 8)] + [Run(name, 8, seed, measured={'t': Measured({}, {'r/accuracy': per_fold})})
                             for name, seeds in folds.items() for seed, per_fold in enumerate(seeds)]
    return Results('benchmark', '', Facts('', [0], [TEST], {'r': ''}, {}, '', ''), systems, [8], runs)


def test_a_difference_is_paired_over_the_folds() -> None:
    one = results(Bicubic=[[0.5, 0.6, 0.7]], A=[[0.6, 0.7, 0.82]])
    found = difference(one, TEST, 8, 'r/accuracy', 'A', 'Bicubic')
    steps = np.array([0.1, 0.1, 0.12])
    assert found.mean == pytest.approx(steps.mean())
    assert found.error == pytest.approx(np.sqrt(((steps - steps.mean()) ** 2).sum() / 2 / 3))
    assert found.p == pytest.approx(stats.ttest_1samp(steps, 0).pvalue)
    assert found.clear == 1


def test_over_seeds_the_p_is_welchs() -> None:
    a, b = [0.70, 0.74, 0.72], [0.60, 0.69]
    three_and_two = results(Bicubic=[[x, x] for x in b], A=[[x, x] for x in a])  # the folds agree
    found = difference(three_and_two, TEST, 8, 'r/accuracy', 'A', 'Bicubic')
    assert found.p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


def test_seeds_that_disagree_make_the_error_larger_than_the_folds_do() -> None:
    two = results(Bicubic=[[0.5, 0.6]], A=[[0.7, 0.8], [0.5, 0.6]])
    found = difference(two, TEST, 8, 'r/accuracy', 'A', 'Bicubic')
    assert found.mean == pytest.approx(0.1)
    assert found.error == pytest.approx(np.std([0.75, 0.55], ddof=1) / np.sqrt(2))  # over the folds it would be 0
    assert found.clear == 0


def test_the_sentences_sort_the_systems_out() -> None:
    mixed = results(Bicubic=[[0.5, 0.6, 0.7]], Good=[[0.7, 0.8, 0.9]], Same=[[0.6, 0.5, 0.7]], Bad=[[0.3, 0.4, 0.5]],
                    **{'C-Face-v2': [[0.65, 0.75, 0.85]]})
    lines = verdicts(mixed)['x8 on t']
    assert lines[0] == ('By r, against Bicubic: clearly better: Good (+20.0 ± 0.0), C-Face-v2 (+15.0 ± 0.0); '
                        'not clearly different: Same (+0.0 ± 5.8); clearly worse: Bad (-20.0 ± 0.0).')
    assert lines[1] == ('By r, C-Face-v2 beats Bad (+35.0 ± 0.0); does not differ clearly from Same (+15.0 ± 5.8); '
                        'loses to Good (-5.0 ± 0.0).')


def test_identity_terms_are_compared_with_the_row_that_learnt_pixels_only() -> None:
    terms = results(Bicubic=[[0.5, 0.6, 0.7]], Pixels=[[0.6, 0.7, 0.8]],
                    **{'L_SI': [[0.7, 0.8, 0.9]], 'k = 1': [[0.6, 0.65, 0.85]], 'L_CF': [[0.72, 0.82, 0.92]]})
    terms.facts.led = {'other': ['L_SI', 'L_CF'], 'r': ['k = 1']}
    against_bicubic, *lines = verdicts(terms)['x8 on t']
    assert 'Pixels (+10.0 ± 0.0)' in against_bicubic
    assert lines == [
        'By r, against Pixels: clearly better: L_CF (+12.0 ± 0.0), L_SI (+10.0 ± 0.0); not clearly different: k = 1 '
        '(+0.0 ± 2.9).',
        'By r, L_CF beats Pixels (+12.0 ± 0.0), L_SI (+2.0 ± 0.0); does not differ clearly from k = 1 (+12.0 ± 2.9).']
    terms.facts.led = {}
    assert verdicts(terms)['x8 on t'][1:] == lines[1:]


def test_psnr_names_the_best_and_how_far_ours_is_and_who_is_below_bicubic() -> None:
    some = results(Bicubic=[[0.5, 0.5]], A=[[0.5, 0.5]], B=[[0.5, 0.5]], **{'C-Face-v1': [[0.5, 0.5]]})
    for run, psnr in zip(some.runs[1:], (20.0, 22.5, 19.0, 22.25), strict=True):
        run.measured['t'].numbers['psnr'] = psnr
    assert verdicts(some)['x8 on t'][-1] == ('PSNR: the best is A with 22.50 dB; C-Face-v1 -0.25 dB; '
                                            'below Bicubic: B.')


def test_a_failed_system_is_not_compared_and_one_seed_is_said(tmp_path: Path) -> None:
    told = verdicts(made_up_results(tmp_path, seeds=(1,)))
    assert not any('EDSR' in line for line in told['x8 on held-out'])
    assert any('EDSR' in line for line in told['x4 on held-out'])
    assert any(line.startswith('One seed:') for line in told['How to read this'])
