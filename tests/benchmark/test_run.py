"""A benchmark is looked at before it trains, and what was measured before a kill is not measured again."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cface_basicsr.benchmark import collect as gather
from cface_basicsr.benchmark.file import read_benchmark
from cface_basicsr.benchmark.plan import make_plan
from cface_basicsr.benchmark.run import Finished, run_benchmark
from cface_basicsr.errors import UserError
from cface_basicsr.training import steps
from tests.tiny_benchmark import BATCH, tiny_benchmark, write_benchmark, write_tiny_faces
from tests.tiny_stages import REPOSITORY
from tests.training.test_steps import Told


def start(folder: Path, show: Told | None = None, strict: bool = False, **changes: Any) -> Finished:
    file = read_benchmark(write_benchmark(folder, tiny_benchmark(data=str(folder / 'data'), **changes)))
    return run_benchmark(make_plan(file, folder / 'run', file.budget.images), show or Told(), strict=strict)


@pytest.mark.parametrize(('changes', 'lost', 'message'), [
    ({'recognizers': {'loss': 'recognizer', 'other': 'nowhere.onnx'}}, '', "'other': the file 'nowhere.onnx' is miss"),
    ({'scales': [8, 4]}, 'data/test/lr_x4.lmdb', r"data/test' has no lr_x4.lmdb.*\n.*cface prepare"),
    ({'scales': [8, 4]}, 'data/train/lr_x4.lmdb', r"has no lr_x4.lmdb.*\n.*cface prepare"),
    ({'tests': {'held-out': {'pairs': 'nowhere.txt'}}}, '', "nowhere.txt"),
    ({'systems': ['V'], 'variants': {'V': {'of': 'C-Face-v2', 'set': {
        'stage1': {'train': {'views': {'shift': 20.0}}}}}}}, '', 'a view may leave the image of 128 pixels by 16 %'),
    ({'systems': ['V'], 'variants': {'V': {'of': 'C-Face-v2', 'set': {
        'stage1': {'train': {'more_recognizers': ['nowhere.onnx']}}}}}}, '', "recognizer's file 'nowhere.onnx' is mis"),
    ({'systems': ['V'], 'variants': {'V': {'of': 'C-Face-v1', 'set': {
        'stage1': {'datasets': {'train': {'k': 6}}}}}}}, '',
     r"step 'v_stage1': option 'datasets.train.k': 'k' is 6, but step 'index' makes an index of 5 neighbours\. Lower"),
    ({'loss': 'nowhere.pth'}, '', "step 'c_face_v2_stage1': the recognizer's file .*nowhere.pth' is missing"),
    ({'perceptual': {'lpips': 'nowhere'}}, '', "'nowhere/alexnet-owt-7be5be79.pth' is missing"),
    ({'tests': {'held-out': {'pairs_per_fold': 600}}}, '',
     r'are too few for 10 folds .*\n.*\(tests\.held-out\.pairs_per_fold, tests\.held-out\.folds\)'),
    ({'tests': {'held-out': {'pairs_per_fold': 8, 'blufr': 'nowhere.mat'}}}, '', "'nowhere.mat' is missing"),
])
def test_what_is_missing_or_does_not_fit_is_refused_before_any_training(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], lost: str, message: str) -> None:
    monkeypatch.setattr(steps, 'run_training', lambda *_: pytest.fail('it trained'))
    write_tiny_faces(tmp_path)
    if lost:
        shutil.rmtree(tmp_path / lost)
    with pytest.raises(UserError, match=message):
        start(tmp_path, **changes)


TUNED = {'options': str(REPOSITORY / 'options/cface_stage0.yml'), 'weights': {'network_r': 'recognizer'},
         'set': {'train': {'total_iter': 4}}}


@pytest.mark.parametrize('judge', ['recognizer', 'tuned'])
def test_a_judge_that_leads_a_loss_is_strictly_refused_before_any_training(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str) -> None:
    monkeypatch.setattr(steps, 'run_training', lambda *_: pytest.fail('it trained'))
    write_tiny_faces(tmp_path)
    with pytest.raises(UserError, match="--strict: recognizer 'judge' led a loss of C-Face-v2, so it is not a judge"):
        start(tmp_path, strict=True, recognizers={'loss': 'recognizer', 'judge': judge},
              steps=tiny_benchmark()['steps'] | {'tuned': TUNED})


@pytest.mark.parametrize(('backbone', 'message'), [
    ({'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'scale': 8, 'num_feat': 4, 'num_block': 1},
     r"variant 'V': RRDBNet with these arguments enlarges 4 times, and the scale is 8\. Take a network that has it\.$"),
    ({'type': 'MSRResNet', 'upscale': 8, 'num_feat': 4, 'num_block': 1}, "network_g': MSRResNet refuses this"),
    ({'type': 'SRGANDiscriminator'}, "SRGANDiscriminator takes neither 'scale' nor 'upscale'"),
])
def test_a_backbone_that_does_not_enlarge_by_the_scale_is_refused_before_any_training(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: dict[str, Any], message: str) -> None:
    monkeypatch.setattr(steps, 'run_training', lambda *_: pytest.fail('it trained'))
    write_tiny_faces(tmp_path)
    with pytest.raises(UserError, match=message) as refused:
        start(tmp_path, systems=['V'], variants={'V': {'of': 'EDSR', 'backbone': backbone}})
    assert '\n' not in str(refused.value)


@pytest.mark.slow
def test_two_scales_and_two_seeds_killed_while_measuring_are_measured_once_each(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_faces(tmp_path)
    changes = {'systems': ['EDSR'], 'scales': [4, 8], 'seeds': [0, 1], 'budget': {'images': 2 * BATCH}, 'set': {},
               'shares': {}, 'curve_points': 0}
    measure, measured = gather.measure_costs, []

    def killed_at_the_third(*arguments: Any, **more: Any) -> Any:
        measured.append(arguments)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(*arguments, **more)
    monkeypatch.setattr(gather, 'measure_costs', killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, **changes)
    first, again = len(measured), Told()
    finished = start(tmp_path, again, **changes)
    # Bicubic x4 and one EDSR x4 were done; the one that was cut off, Bicubic x8 and two EDSR x8 are left
    assert (first, len(measured) - first) == (3, 4)
    assert [name for name, _ in again.ended if name.startswith('measuring EDSR')] == [
        'measuring EDSR x4 seed 1', 'measuring EDSR x8 seed 0', 'measuring EDSR x8 seed 1']
    assert {(run.system, run.scale, run.seed) for run in finished.results.runs} == {
        *((system, scale, None) for system in ('HR', 'Bicubic') for scale in (4, 8)),
        *(('EDSR', scale, seed) for scale in (4, 8) for seed in (0, 1))}
    assert finished.code == 0
    table = (tmp_path / 'run/tables/table_held-out_restoration.md').read_text()
    edsr = next(line for line in table.splitlines() if line.startswith('| EDSR'))
    assert edsr.count('±') == 4 and 'Mean ± standard deviation over 2 seeds (0, 1)' in table
    weights = {run.weights_sha256 for run in finished.results.runs if run.system == 'EDSR'}
    assert len(weights) == 4


@pytest.mark.slow
def test_a_row_that_cannot_be_measured_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_faces(tmp_path)
    measure = gather.measure_costs

    def without_memory(network: Any, *arguments: Any, **more: Any) -> Any:
        if type(network).__name__ == 'EDSR':
            raise RuntimeError('out of memory\nand where')
        return measure(network, *arguments, **more)
    monkeypatch.setattr(gather, 'measure_costs', without_memory)
    finished = start(tmp_path, systems=['EDSR'], budget={'images': 2 * BATCH}, set={}, shares={}, curve_points=0)
    assert finished.code == 1 and finished.failed == {'EDSR x8 seed 0': 'measuring: out of memory'}
    done = [run.system for run in finished.results.runs if run.status == 'done']
    assert done == ['HR', 'Bicubic'] and (tmp_path / 'run/report.md').is_file()
