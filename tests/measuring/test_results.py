"""Results survive their JSON file; what is missing or NaN is refused by name."""

import math
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.results import (
    Check,
    Costs,
    CurvePoint,
    DataSet,
    Faces,
    Facts,
    Measured,
    Region,
    Results,
    Run,
    load_results,
    load_scores,
    save_scores,
)


def results() -> Results:
    data = [DataSet('train', 'train', 'ab' * 32, 200, 900),
            DataSet('held-out', 'test', 'cd' * 32, 41, 190, 600, 'ten folds', 0.01, 'lfw')]
    facts = Facts('cface benchmark x.yml', [0, 1], data, {'sphereface': 'ef' * 32}, {'torch': '2.9'}, 'CPU', '8,000',
                  [Check('disjoint', 'holds', '200 and 41, 0 shared')], {'systems': ['EDSR']}, ['a note'])
    measured = {'held-out': Measured({'psnr': math.inf, 'ssim': 1.0, 'sphereface/vr': None},
                                     {'sphereface': [0.5, 0.75]}, 'scores/hr.npz')}
    trained = Run('EDSR', 8, 0, {'type': 'EDSR'}, '16 of 256 features', 'failed', 'no memory', ['not converged'], {},
                  [CurvePoint(16, 'L1', {'l_pix': 0.5}, {'psnr': 20.0})], Costs(10, 20, 1.5, 3.5, 'CPU'), 8000, 0,
                  '12' * 32, {'a/1': 'faces/edsr.png'})
    return Results('A title', facts, ['HR', 'Bicubic', 'EDSR'], [8],
                   [Run('HR', 8, measured=measured), Run('Bicubic', 8), trained],
                   [Faces('held-out', ['a/1'], {8: {'a/1': 'faces/lr.png'}}, {'a/1': Region('eyes', (0, 0, 1, .5))})])


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    path = results().save(tmp_path)
    assert path == tmp_path / 'results.json'
    assert load_results(tmp_path) == results()
    assert load_results(path).runs[0].measured['held-out'].numbers['psnr'] == math.inf


def test_the_file_is_strict_json(tmp_path: Path) -> None:
    import json

    def refuse(name: str) -> None:
        raise AssertionError(f'{name} is no JSON')
    json.loads(results().save(tmp_path).read_text(), parse_constant=refuse)


def test_nan_is_refused_with_system_set_and_number(tmp_path: Path) -> None:
    broken = results()
    broken.runs[0].measured['held-out'].numbers['psnr'] = math.nan
    with pytest.raises(UserError, match='HR x8 on held-out: psnr is NaN'):
        broken.save(tmp_path)
    assert not (tmp_path / 'results.json').exists()


@pytest.mark.parametrize('system', ['HR', 'Bicubic'])
def test_hr_and_bicubic_are_always_there(system: str, tmp_path: Path) -> None:
    broken = results()
    broken.runs = [run for run in broken.runs if run.system != system]
    with pytest.raises(UserError, match=f'{system} is always in a benchmark, but has no run at scale 8'):
        broken.save(tmp_path)


def test_a_file_of_something_else_is_refused_with_the_wrong_entry(tmp_path: Path) -> None:
    (tmp_path / 'results.json').write_text('{"title": 1}')
    with pytest.raises(UserError, match='is no results file: title'):
        load_results(tmp_path)
    with pytest.raises(UserError, match='is missing: no benchmark has finished there'):
        load_results(tmp_path / 'elsewhere')


def test_scores_come_back_as_they_were(tmp_path: Path) -> None:
    scores = {'sphereface': np.array([0.25, -0.5, 1 / 3]), 'arcface': np.array([1.0, 2.0, 3.0])}
    same, back = load_scores(save_scores(tmp_path / 'a' / 's.npz', [True, False, True], scores))
    assert same.tolist() == [True, False, True]
    assert {name: values.tolist() for name, values in back.items()} == {n: v.tolist() for n, v in scores.items()}


def test_scores_of_another_number_of_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'sphereface': \(2,\)"):
        save_scores(tmp_path / 's.npz', [True, False, True], {'sphereface': [1, 2]})


def test_failed_runs_and_seeds_are_found() -> None:
    assert [run.system for run in results().failed()] == ['EDSR']
    assert [run.seed for run in results().runs_of('EDSR', 8)] == [0]
    assert [test.name for test in results().tests()] == ['held-out']


def test_names_that_cannot_stand_in_a_file_name_are_refused(tmp_path: Path) -> None:
    broken = results()
    broken.facts.recognizers = {'a/b': ''}
    with pytest.raises(UserError, match="'a/b' names a test set or a recognizer"):
        broken.save(tmp_path)
