"""Curves of trainings that nobody has measured yet, from their logs only."""

import base64
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cface_basicsr.cli.main import app
from cface_basicsr.training.logs import curve_of, unmeasured

HEAD = '''2026-11-24 00:04:50,101 INFO: {start}
  val:[
    val_freq: 4
  ]
2026-11-24 00:04:50,101 INFO: Training statistics:
\tBatch size per gpu: 8
\tWorld size (gpu number): 2
\tTotal epochs: 4; iters: 10.
'''


def progress(iteration: int, loss: float) -> str:
    return (f'2026-11-24 00:04:{50 + iteration},000 INFO: [cface..][epoch:  0, iter:{iteration:8,d}, lr:(1.000e-04,)] '
            f'[eta: 0:00:12, time (data): 0.5 (0.1)] l_g_pix: {loss:.4e} acc: 1.0000e+00 \n')


def validation(psnr: float, data: str = 'held-out') -> str:
    return (f'2026-11-24 00:05:00,000 INFO: Validation {data}\n\t # psnr: {psnr:.4f}\tBest: 99.0000 @ 4 iter\n'
            '\t # verification: 0.7500\tBest: 0.7500 @ 4 iter\n\n')


def write_training(folder: Path, *logs: str) -> Path:
    folder.mkdir(parents=True)
    for number, text in enumerate(logs):
        (folder / f'train_cface_{number}.log').write_text(HEAD.format(start='options') + text)
    return folder


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Stopped after 6 of 10 iterations and continued from 4; printed every third iteration, validated every fourth."""
    return write_training(tmp_path / 'stage1', progress(3, 0.5) + validation(20.5) + progress(6, 0.4),
                          progress(6, 0.3) + validation(21.5) + progress(9, 0.25) + validation(22.0))


def test_the_curve_has_the_losses_and_the_validations_over_the_images(training: Path) -> None:
    points = curve_of(sorted(training.glob('*.log')))
    assert [(point.images, point.losses.get('l_g_pix')) for point in points if point.losses] == [
        (3 * 16, 0.5), (6 * 16, 0.3), (9 * 16, 0.25)]  # what was done again counts as the later log has it
    assert [(point.images, point.accuracies) for point in points if point.accuracies] == [
        (16 * iteration, {name: value}) for iteration, psnr in ((4, 20.5), (8, 21.5), (10, 22.0))
        for name, value in (('psnr', psnr), ('verification', 0.75))]


def test_validations_of_several_sets_keep_their_names(tmp_path: Path) -> None:
    folder = write_training(tmp_path / 'a', progress(4, 0.5) + validation(20.5, 'one') + validation(30.5, 'two'))
    found = [name for point in curve_of(folder.glob('*.log')) for name in point.accuracies]
    assert found == ['psnr, one', 'verification, one', 'psnr, two', 'verification, two']


def test_a_later_log_without_an_iteration_does_not_change_the_number_of_images(tmp_path: Path) -> None:
    begins = '2026-11-24 00:04:50,102 INFO: Start training from epoch: 0, iter: 3\n'
    folder = write_training(tmp_path / 'a', progress(3, 0.5), begins + 'CUDA out of memory\n')
    failed, cut = folder / 'train_cface_1.log', folder / 'train_cface_2.log'
    failed.write_text(failed.read_text().replace('per gpu: 8', 'per gpu: 64'))
    cut.write_text('2026-11-24 00:04:50,101 INFO: options\n')
    assert [point.images for point in curve_of([folder / 'train_cface_0.log', failed, cut])] == [3 * 16]


def test_validations_between_two_lines_of_progress_have_their_own_iterations(tmp_path: Path) -> None:
    """Validated every fourth iteration, printed at the tenth; gone on with from 4, printed at 9."""
    begins = '2026-11-24 00:04:50,102 INFO: Start training from epoch: 0, iter: {}\n'
    psnr = validation(20.5), validation(21.5), validation(22.5)
    whole = begins.format(0) + psnr[0] + validation(30.5, 'two') + psnr[1] + progress(10, 0.5) + psnr[2]
    later = begins.format(4) + psnr[1] + progress(9, 0.5) + psnr[2]
    for log, expected in ((whole, [(4, 20.5), (8, 21.5), (10, 22.5)]), (later, [(8, 21.5), (10, 22.5)])):
        folder = write_training(tmp_path / str(len(log)), log)
        points = [(point.images // 16, value) for point in curve_of(folder.glob('*.log'))
                  for name, value in point.accuracies.items() if name in ('psnr', 'psnr, held-out')]
        assert points == expected


def test_a_run_folder_gives_a_training_for_each_step_that_has_begun(training: Path, tmp_path: Path) -> None:
    write_training(tmp_path / 'stage0', progress(3, 9.0))
    write_training(tmp_path / 'options')
    found = unmeasured(tmp_path)
    assert found and set(found.systems) == {'stage0', 'stage1'} and found.tests() == []
    assert unmeasured(training).systems == ['stage1']
    assert unmeasured(tmp_path / 'options') is None


def test_report_draws_a_page_of_a_run_that_is_not_measured(training: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ['report', str(training), '--out', str(tmp_path / 'page')])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(tmp_path / 'page' / name) for name in (
        'figures/validation.png', 'figures/losses.png', 'report.html')]
    page = (tmp_path / 'page/report.html').read_text()
    text = re.sub(r'base64,[\w+/=]+', '', page)
    assert '<h1>stage1</h1>' in page and '1 training, read from its log; nothing has been measured yet.' in text
    assert re.findall(r'<section id="(\w+)">', page) == ['curves', 'trace']
    for name in ('validation', 'losses'):
        assert base64.b64encode((tmp_path / f'page/figures/{name}.png').read_bytes()).decode() in page


def test_a_folder_without_results_and_logs_is_refused_as_before(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ['report', str(tmp_path)])
    assert done.exit_code == 1 and 'results.json' in str(done.exception)
