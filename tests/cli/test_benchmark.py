"""cface benchmark: two systems and one that fails, killed and continued, measured, reported; what it refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.roc import FARS
from cface_basicsr.measuring.results import Results, load_results
from tests.compat.tiny_training import run
from tests.tiny_benchmark import BATCH, tiny_benchmark, write_benchmark, write_tiny_faces
from tests.tiny_stages import REPOSITORY

COMMAND = [sys.executable, '-m', 'cface_basicsr', 'benchmark', 'b.yml']


def benchmark() -> dict[str, Any]:
    """The tiny one, and VDSR at a learning rate at which its loss becomes NaN."""
    content = tiny_benchmark(systems=['EDSR', 'VDSR', 'C-Face-v2'])
    content['widths']['VDSR'] = {'num_feat': 4, 'num_block': 1}
    content['set']['VDSR'] = {'train': {'train': {'optim_g': {'lr': 1e30, 'clip_norm': None}}}}
    return content


def kill_after_edsr(folder: Path) -> None:
    process = subprocess.Popen(COMMAND, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPOSITORY)})
    seed = folder / 'run/x8/seed0'
    while process.poll() is None and not (seed / 'options/c_face_v2_warmup.yml').is_file():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (seed / 'edsr/finished.json').is_file() and not (folder / 'run/results.json').exists()


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results, str, int]:
    """(folder, results, what was shown, when EDSR was finished) of the run that was killed and started again."""
    folder = write_tiny_faces(tmp_path_factory.mktemp('benchmark'))
    write_benchmark(folder, benchmark())
    kill_after_edsr(folder)
    when = (folder / 'run/x8/seed0/edsr/finished.json').stat().st_mtime_ns
    done = run(COMMAND, folder)
    assert done.returncode == 1, done.stderr[-3000:]  # VDSR failed, the others are made
    return folder, load_results(folder / 'run'), done.stderr, when


@pytest.mark.slow
def test_after_a_kill_nothing_that_was_finished_is_done_again(finished: tuple[Path, Results, str, int]) -> None:
    folder, _, shown, when = finished
    assert (folder / 'run/x8/seed0/edsr/finished.json').stat().st_mtime_ns == when
    assert 'edsr: already finished' in shown and 'recognizer: already finished' in shown


@pytest.mark.slow
def test_a_failed_training_costs_only_its_row(finished: tuple[Path, Results, str, int]) -> None:
    _, results, shown, _ = finished
    rows = {row.system: row for row in results.runs}
    assert list(rows) == ['HR', 'Bicubic', 'EDSR', 'VDSR', 'C-Face-v2']
    assert [name for name, row in rows.items() if row.status == 'failed'] == ['VDSR']
    assert 'NaN' in rows['VDSR'].reason and not rows['VDSR'].measured
    assert 'failed: VDSR x8 seed 0: training of' in shown


@pytest.mark.slow
def test_every_row_has_its_numbers_its_budget_its_costs_and_its_curve(
        finished: tuple[Path, Results, str, int]) -> None:
    folder, results, _, _ = finished
    for row in results.runs:
        if row.status == 'failed':
            continue
        numbers = row.measured['held-out'].numbers
        rates = ('accuracy', 'accuracy_std', 'vr', 'dir', 'dir_std', 'eer', *(f'tar@{far:g}' for far in FARS))
        assert set(numbers) == {'psnr', 'ssim', *(f'loss/{key}' for key in rates)}
        assert (folder / 'run' / row.measured['held-out'].scores).is_file()
        assert len(row.faces) == 2 and all((folder / 'run' / path).is_file() for path in row.faces.values())
    trained = {row.system: row for row in results.runs if row.seed is not None and row.status == 'done'}
    assert {row.images_g for row in trained.values()} == {8 * BATCH}
    # C-Face-v2's recognizers: 4 steps of 8 in stage 0, 4 of 4 in stage 3, 2 of 4 SR and HR faces in stage 4
    assert (trained['EDSR'].images_r, trained['C-Face-v2'].images_r) == (0, 32 + 16 + 16)
    assert trained['EDSR'].width == 'num_feat 4 instead of 256, num_block 1 instead of 32'
    for row in trained.values():
        assert row.costs.parameters > 0 and row.costs.images_a_second > 0
        measured = [(point.images, set(point.accuracies)) for point in row.curve if point.accuracies]
        assert measured[-1] == (8 * BATCH, {'psnr', 'loss'}) and len(measured) > 1
        assert [point.images for point in row.curve] == sorted(point.images for point in row.curve)
    phases = dict.fromkeys(point.phase for point in trained['C-Face-v2'].curve)
    assert list(phases) == ['warmup', 'stage1', 'stage4']


@pytest.mark.slow
def test_an_untrained_row_below_bicubic_is_marked(finished: tuple[Path, Results, str, int]) -> None:
    _, results, _, _ = finished
    footnotes = {row.system: row.footnotes for row in results.runs}
    assert footnotes['EDSR'] == ['not converged'] and footnotes['C-Face-v2'] == footnotes['Bicubic'] == []


@pytest.mark.slow
def test_fairness_is_checked_and_a_missing_seed_is_named(finished: tuple[Path, Results, str, int]) -> None:
    _, results, shown, _ = finished
    outcomes = {check.what: check.outcome for check in results.facts.checks}
    assert len(outcomes) == 9
    assert outcomes['identities of training and held-out are disjoint (by key)'] == 'holds'
    assert outcomes['pictures of training and held-out are disjoint (by image hash)'] == 'holds'
    assert outcomes['all generators were trained on the same number of images'] == 'holds'
    assert outcomes['all systems were trained with the same seeds'] == 'broken'
    assert 'not all of them finished: VDSR' in shown


@pytest.mark.slow
def test_a_run_folder_of_other_options_is_refused_and_both_are_shown(
        finished: tuple[Path, Results, str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _, _ = finished
    monkeypatch.chdir(folder)
    content = benchmark()
    content['widths']['EDSR']['num_feat'] = 6
    write_benchmark(folder, content)
    done = CliRunner().invoke(app, ['benchmark', 'b.yml'])
    assert isinstance(done.exception, UserError)
    assert 'network_g.num_feat was 4, now 6' in str(done.exception)
    write_benchmark(folder, benchmark())


@pytest.mark.slow
def test_run_again_it_measures_nothing_again_and_repeats_what_failed(finished: tuple[Path, Results, str, int]) -> None:
    folder, before, _, _ = finished
    content = benchmark()
    content['set']['VDSR'] = {}
    import shutil
    for path in (folder / 'run/x8/seed0/vdsr', folder / 'run/x8/seed0/options/vdsr.yml'):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    write_benchmark(folder, content)
    done = run([*COMMAND, '--json'], folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'measuring VDSR' in done.stderr and 'measuring EDSR' not in done.stderr
    rows = {row['system']: row for row in json.loads(done.stdout)['runs']}
    assert rows['VDSR']['status'] == 'done'
    old = {row.system: row for row in before.runs}
    assert rows['EDSR']['measured']['held-out']['numbers'] == old['EDSR'].measured['held-out'].numbers


def test_a_budget_on_the_command_line_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = write_benchmark(tmp_path, tiny_benchmark(budget={'minutes': 5}))
    keys = ('recognizers/recognizer', 'x8/edsr', *(f'x8/c_face_v2_{name}' for name in (
        'warmup', 'stage1', 'stage3', 'stage4')))
    (tmp_path / 'r.json').write_text(json.dumps({'seconds_an_image': dict.fromkeys(keys, 1.0)}))
    done = CliRunner().invoke(app, ['benchmark', str(path), '--images', '80', '--plan', '--json', '--throughput',
                                    str(tmp_path / 'r.json'), '--out', str(tmp_path / 'run')])
    assert done.exit_code == 0, done.output
    assert {row['images'] for row in json.loads(done.stdout)['rows']} == {80}


def test_faces_that_were_drawn_with_other_numbers_are_refused(tmp_path: Path) -> None:
    for part, identities in (('train', 180), ('test', 60)):
        (tmp_path / 'data' / part).mkdir(parents=True)
        (tmp_path / 'data' / part / 'manifest.json').write_text(
            json.dumps({'identities': identities, 'images': 8 * identities}))
    content = tiny_benchmark(data=str(tmp_path / 'data'), out=str(tmp_path / 'run'),
                             generated={'identities': 240, 'images': 8, 'holdout': 40})
    done = CliRunner().invoke(app, ['benchmark', str(write_benchmark(tmp_path, content))])
    assert isinstance(done.exception, UserError)
    assert 'was made with holdout = 60;\nnow it is to have holdout = 40' in str(done.exception)
