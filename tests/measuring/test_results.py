"""Results survive their JSON file; what is missing or NaN is refused by name."""

import math
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.results import (
    Check,
    Compared,
    Costs,
    CurvePoint,
    DataSet,
    Faces,
    Facts,
    Measured,
    Region,
    Results,
    Run,
    facts_of_this_run,
    load_results,
    load_scores,
    save_scores,
)


def results() -> Results:
    data = [DataSet('train', 'train', 'ab' * 32, 200, 900),
            DataSet('held-out', 'test', 'cd' * 32, 41, 190, [
                Compared('pairs', '34' * 32, 'ten folds', {'pairs': 600, 'far': 0.01}, {'genuine': 300}),
                Compared('open-set', '56' * 32, 'ten draws', shared=0.5)], 'lfw')]
    facts = Facts('cface benchmark x.yml', [0, 1], data, {'sphereface': 'ef' * 32}, {'torch': '2.9'}, 'CPU', '8,000',
                  [Check('disjoint', 'holds', '200 and 41, 0 shared')], {'systems': ['EDSR']}, ['a note'])
    measured = {'held-out': Measured({'psnr': math.inf, 'ssim': 1.0, 'sphereface/vr': None},
                                     {'sphereface/accuracy': [0.5, 0.75]}, 'scores/hr.npz')}
    trained = Run('EDSR', 8, 0, {'type': 'EDSR'}, '16 of 256 features', 'failed', 'no memory', ['not converged'], {},
                  [CurvePoint(16, 'L1', {'l_pix': 0.5}, {'psnr': 20.0})], Costs(10, 20, 1.5, 3.5, 'CPU'), 8000, 0,
                  '12' * 32, {'a/1': 'faces/edsr.png'})
    return Results('benchmark', 'A title', facts, ['HR', 'Bicubic', 'EDSR'], [8],
                   [Run('HR', 8, measured=measured), Run('Bicubic', 8), trained],
                   [Faces('held-out', ['a/1'], {8: {'a/1': 'faces/lr.png'}}, {'a/1': Region('eyes', (0, 0, 1, .5))})],
                   {'after stage 1': {'sr_hr': 0.25}}, True)


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    path = results().save(tmp_path)
    assert path == tmp_path / 'results.json'
    assert load_results(tmp_path) == results()
    assert load_results(path).runs[0].measured['held-out'].numbers['psnr'] == math.inf


def test_the_file_is_strict_json(tmp_path: Path) -> None:
    import json

    def refuse(name: str) -> None:
        raise AssertionError(f'{name} is not JSON')
    content = json.loads(results().save(tmp_path).read_text(), parse_constant=refuse)
    assert content['runs'][0]['measured']['held-out']['numbers']['psnr'] == 'Infinity'


def test_nan_is_refused_with_system_set_and_number(tmp_path: Path) -> None:
    number, fold, distance = results(), results(), results()
    number.runs[0].measured['held-out'].numbers['psnr'] = math.nan
    fold.runs[0].measured['held-out'].per_fold['sphereface/accuracy'][1] = math.nan
    distance.domains['after stage 1']['sr_hr'] = math.nan
    for broken, message in ((number, 'HR x8 on held-out: psnr is NaN'), (distance, 'after stage 1: sr_hr is NaN'),
                            (fold, 'HR x8 on held-out: sphereface/accuracy, number 2 is NaN')):
        with pytest.raises(UserError, match=message):
            broken.save(tmp_path)
    assert not (tmp_path / 'results.json').exists()


def test_a_file_of_something_else_is_refused_with_the_wrong_entry(tmp_path: Path) -> None:
    (tmp_path / 'results.json').write_text('{"made_by": "me"}')
    with pytest.raises(UserError, match='is not a results file of this version: made_by'):
        load_results(tmp_path)
    with pytest.raises(UserError, match='is missing: expected what `cface train`'):
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
    test, = results().tests()
    assert (test.name, test.pairs, test.protocol) == ('held-out', 600, 'ten folds ten draws')


def test_the_facts_of_a_run_name_its_command_and_what_it_runs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.argv', ['/somewhere/cface', 'train', 'r.yml'])
    facts = facts_of_this_run([], {'r': 'ef' * 32}, 'CPU', seeds=[3], notes=['A note.'])
    assert (facts.command, facts.seeds, facts.notes) == ('cface train r.yml', [3], ['A note.'])
    assert facts.versions['numpy'] == np.__version__ and set(facts.versions) == {
        'cface-basicsr', 'basicsr', 'torch', 'torchvision', 'numpy', 'opencv', 'python'}
