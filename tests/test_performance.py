"""Each benchmark runs at a tiny size and returns its keys. How long anything takes is never asked."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cface_basicsr.archs.layers import ConvToFew, LeanPReLU
from cface_basicsr.evaluation.verification import kfold_accuracy
from performance.__main__ import BENCHMARKS, arguments, run_one, save, shown
from performance.compare_rows import casia_sizes
from performance.folds import grid_accuracy
from performance.limits import Limit
from performance.measure import Finding, Times, markdown, ratio, take_turns
from performance.profile_step import kind_of, seconds_by_kind
from performance.profile_step import markdown as profile_table
from performance.sides import Side, against, race
from performance.training_step import RIVALS, model_of
from tests.tiny_benchmark import tiny_benchmark, write_benchmark

TINY = {
    'step': ({'width': 'tiny', 'batch': 2, 'rounds': 1, 'layer': 'relu1_1'},
             {'step', 'step_fast', 'step_stock', 'step_fast_stock', 'step_two', 'step_camera', 'step_identity',
              'step_0', 'step_4'}),
    'loader': ({'identities': 2, 'images': 2, 'rounds': 1}, {'loader', 'loader_two', 'loader_cpu', 'reduced'}),
    'forms': ({'identities': 1, 'images': 2, 'rounds': 1},
              {'stored_png', 'stored_png0', 'stored_jpeg', 'stored_webp', 'stored_raw'}),
    'growth': ({'rows': 2000}, {'start_20', 'start_200', 'start_2000', 'memory_2000'}),
    'audit': ({'rows': 400}, {'audit_100', 'audit_200', 'audit_400', 'audit_1000000', 'audit_5000000'}),
    'classifier': ({'classes': 200, 'length': 8, 'batch': 4, 'rounds': 1},
                   {'classifier_0.1', 'classifier_step', 'classifier_2000000'}),
    'prepare': ({'identities': 2, 'images': 2, 'rounds': 1},
                {'prepare', 'prepare_ratio', 'prepare_checks', 'prepare_memory'}),
    'index': ({'rows': 800, 'length': 8, 'rounds': 1}, {'index_ratio', 'index_memory', 'index_growth'}),
    'lfw': ({'pairs': 60, 'images': 40, 'length': 8, 'thresholds': 11, 'rounds': 1}, {'lfw', 'lfw_features'}),
    'restoration': ({'rows': 6, 'size': 16, 'rounds': 1}, {'restoration'}),
    'blufr': ({'people': 60, 'images': 150, 'length': 8, 'rounds': 1}, {'blufr_ratio', 'blufr_memory'}),
    'photos': ({'width': 'tiny', 'size': [300, 400], 'faces': 2, 'pasted': 2, 'rounds': 1},
               {'photo', 'photo_memory', 'photo_paste'}),
    'checkpoints': ({'megabytes': 1, 'rounds': 1}, {'checkpoint_hash', 'checkpoint_flush', 'checkpoint_check'}),
    'landmarks': ({'identities': 1, 'heights': [40]}, {'landmarks_40', 'boxes_40'}),
    'validation': ({'width': 'tiny', 'identities': 2, 'images': 2, 'rounds': 1}, {'validation', 'stage_2'}),
    'commands': ({'width': 'tiny', 'identities': 20, 'images': 2, 'rounds': 1},
                 {'help', 'enhance', 'index', 'evaluate'}),
    'precision': ({'width': 'tiny', 'batch': 2, 'rounds': 1, 'layer': 'relu1_1', 'compiled': False},
                  {'precision_float32', 'precision_SRGANModel_float32_no_recognizer', 'precision_float32_channels_last',
             'precision_bfloat16_autocast', 'precision_bfloat16_autocast_channels_last'}),
}


@pytest.mark.slow
def test_the_script_for_a_gpu_runs_on_the_cpu(tmp_path: Path) -> None:
    content = tiny_benchmark(systems=['EDSR'], widths={'EDSR': {'num_feat': 4, 'num_block': 1}}, shares={}, set={})
    settings, precisions = TINY['precision']
    found = {each.key: each for each in run_one('gpu', **settings, ranks=['stage 0'],
                                                benchmark=str(write_benchmark(tmp_path, content)))}
    assert set(found) == precisions | {'ranks_stage_0', 'train_recognizers/recognizer', 'train_x8/edsr', 'losses_SICNN',
                                       *(f'losses_stage_{stage}' for stage in (0, 1, 3, 4)), 'lr_faces'}
    assert [key for key, each in found.items() if each.passed is False and not key.startswith('precision')] == []
    assert found['losses_stage_4'].value == found['lr_faces'].value == 0


def test_every_benchmark_that_measures_time_is_tried_so_no_row_of_it_can_lack_its_limit() -> None:
    assert BENCHMARKS.keys() - TINY.keys() == {'gpu'}


@pytest.mark.parametrize('name', TINY)
def test_a_benchmark_runs_at_a_tiny_size_and_returns_its_keys(name: str) -> None:
    settings, keys = TINY[name]
    findings = run_one(name, **settings)
    assert keys <= {each.key for each in findings}
    assert all(each.value is not None and math.isfinite(each.value) for each in findings)
    assert [each.key for each in findings if not (each.limit and each.of_limit > 0)] == []


def test_the_rival_with_torchs_layers_is_the_same_network_without_ours() -> None:
    ours, stock = (model_of(kind, 'tiny', 'relu1_1').net_g for kind in RIVALS)
    assert {ConvToFew, LeanPReLU} < set(map(type, ours.modules()))
    leaves = [module for module in stock.modules() if not list(module.children())]
    assert {type(each).__module__.partition('.')[0] for each in leaves} == {'torch'}
    assert stock.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(value, ours.state_dict()[key]) for key, value in stock.state_dict().items())
    face = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(stock(face), ours(face), rtol=1e-4, atol=1e-5)


def test_the_made_up_identities_have_the_sizes_of_casia_webface() -> None:
    sizes = casia_sizes(494_414)
    assert (len(sizes), sizes.sum(), sizes.min(), sizes.max()) == (10_575, 494_414, 2, 804)
    assert (sizes * (sizes - 1) // 2).sum() == pytest.approx(53.8e6, rel=0.01)
    assert casia_sizes(1000).sum() == 1000 and len(casia_sizes(1000)) == 21


def test_the_grid_that_lfw_is_timed_against_finds_the_same_accuracy() -> None:
    same = np.tile(np.repeat([True, False], 10), 10)
    distances = np.random.default_rng(7).normal(1.5 - 0.3 * same, 0.07).round(2)
    accuracy = kfold_accuracy(-distances, same).mean
    assert 0.9 < accuracy < 1
    assert grid_accuracy(distances, same, 20_001) == pytest.approx(accuracy)


def test_both_sides_of_a_comparison_take_turns_and_swap_places() -> None:
    order: list[str] = []
    times = take_turns({'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, rounds=2, warm_up=1)
    assert ''.join(order) == 'ba' + 'ab' + 'ba'
    assert [len(each.seconds) for each in times.values()] == [2, 2]


def test_the_rival_has_a_process_of_its_own_and_the_number_of_threads_that_suits_it_best() -> None:
    here = 'tests.timed_job:make_slow'
    result = against(Side(here, {'seconds': 0.0}, threads=2), Side(here, {'seconds': 0.001}), rounds=3)
    assert result.ours.results == ['2'] * 4 and result.rival.results == [str(result.threads)] * 4
    assert len(result.rival.seconds) == 3 and min(result.rival.seconds) > 0.001
    assert result.ours.peak[0] > result.rival.peak[0] > 0  # ours has imported torch for its settings


def test_a_side_that_cannot_start_ends_the_race() -> None:
    with pytest.raises(RuntimeError, match=r'tests.timed_job:make_broken ended \(exit code 1\)'):
        race({'broken': Side('tests.timed_job:make_broken')}, 1)


def test_a_limit_is_the_longer_of_its_operations_and_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('performance.limits.rates', lambda threads, kind: (100e9 * threads, 10e9))
    assert Limit(operations=90e9, moved=27e6).seconds == pytest.approx(0.9)
    assert Limit(operations=90e9, threads=2).words() == '90 GFLOP: 0.45 s'
    assert Limit(operations=1e6, moved=27e6).words() == '27 MB: 0.0027 s'


def test_the_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    assert ratio([10.0, 2.0, 3.0], [1.0, 1.0, 2.0]) == 2.0
    assert Times(seconds=[3.0, 1.0, 2.0]).spread(1000) == '2e+03 (1e+03 to 3e+03)'


@pytest.mark.parametrize(('value', 'at_most', 'word'), [(1.4, True, 'pass'), (1.6, True, '**fail**'),
                                                        (1.6, False, 'pass'), (1.4, False, '**fail**')])
def test_a_target_is_a_bound_from_above_or_from_below(value: float, at_most: bool, word: str) -> None:
    assert Finding('key', 'what', '1 s', '1 s', value, target=1.5, at_most=at_most).cells()[5] == word


def test_the_table_says_its_command_and_that_the_machine_was_shared() -> None:
    findings = [Finding('key', 'what', 'cannot run here: no compiler', '–', None)]
    quiet, busy = (markdown(findings, 'python -m performance gpu', load) for load in (0.1, 6.0))
    assert '`python -m performance gpu`' in quiet and 'Other programs' not in quiet
    assert '6.0 processes' in busy
    assert '| what | cannot run here: no compiler | – | – | – | – | – |' in quiet


def test_saved_numbers_are_valid_json(tmp_path: Path) -> None:
    save([Finding('key', 'what', '–', '–', None), Finding('two', 'what', '–', '–', 2.0, target=1.0)],
         tmp_path / 'out.json', 'python -m performance', 0.0)
    found = json.loads((tmp_path / 'out.json').read_text())['findings']
    assert [(each['value'], each['passed']) for each in found] == [(None, None), (2.0, False)]


def test_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        arguments(['stepp'])
    assert stop.value.code == 2
    assert 'choose from step, loader, forms, growth, audit, classifier, prepare' in capsys.readouterr().err


def test_the_command_is_shown_without_the_file_it_was_saved_to() -> None:
    assert shown(['step', '--out', 'a/b.md', '--batch', '4']) == 'python -m performance step --batch 4'
    assert shown(['--out=b.md']) == 'python -m performance'


def test_a_profile_gives_each_operation_to_one_kind_and_misses_none() -> None:
    found = {'stage 1': seconds_by_kind('stage 1', 'tiny', 2, 'relu1_1')}
    assert {kind_of(f'aten::{name}') for name in ('convolution_backward', 'mm', 'copy_')} == {
        'convolutions, backward', 'matrix products', 'copies and sums'}
    assert all(found['stage 1'][kind] > 0 for kind in ('convolutions, forward', 'convolutions, backward'))
    *_, last = profile_table(found).splitlines()
    assert last == f"| together | {sum(found['stage 1'].values()):.2f} s |"
