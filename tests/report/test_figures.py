"""What the curves show: every line's points are those of its own system, on the axes that the labels name."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import roc_curve

from cface_basicsr.evaluation import roc
from cface_basicsr.measuring.results import CurvePoint, DataSet, Results, Run
from cface_basicsr.report import figures
from cface_basicsr.report.figures import accuracy_figure, loss_figure, roc_and_det_figure, save_curves, styles
from tests.report.made_up_results import SYSTEMS, TESTS, made_up_results

TRAINED = SYSTEMS[2:]
DEVIATE = NormalDist().inv_cdf

Points = list[tuple[float, float]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by the names of their files, kept instead of being painted."""
    kept: dict[str, Figure] = {}
    monkeypatch.setattr(figures, 'save_figure', lambda figure, path: kept.update({path.name: figure}) or path)
    return kept


@pytest.fixture(scope='module')
def scores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    """At x8 EDSR has one seed, the other trained systems two, HR and Bicubic one run; the folder holds the scores."""
    folder = tmp_path_factory.mktemp('scores')
    return made_up_results(folder, scales=(4, 8), faces=1), folder


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A copy of the same that a test may change."""
    return made_up_results(tmp_path, scales=(8,), faces=1)


def draw_scores(scores: tuple[Results, Path], drawn: dict[str, Figure], test: DataSet, scale: int) -> Figure:
    results, folder = scores
    assert roc_and_det_figure(results, folder, test, scale, 'sphereface', folder / 'roc.png') == folder / 'roc.png'
    return drawn['roc.png']


def draw_losses(results: Results, folder: Path, drawn: dict[str, Figure]) -> dict[str, Axes]:
    assert loss_figure(results, 8, folder / 'losses.png') == folder / 'losses.png'
    return {panel.get_title(): panel for panel in drawn['losses.png'].axes}


def by_system(lines: Iterable[Line2D]) -> dict[str, Line2D]:
    """The lines of a ROC panel by the system in their labels."""
    return {line.get_label().rpartition(' (')[0]: line for line in lines}


def look(line: Line2D) -> tuple[str, str]:
    return to_hex(line.get_color()), line.get_linestyle()


def twins(lines: Iterable[Line2D], line: Line2D) -> list[Line2D]:
    """The lines of another panel that look the same."""
    return [other for other in lines if look(other) == look(line)]


def points(line: Line2D) -> Points:
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def curves(lines: Iterable[Line2D]) -> list[Line2D]:
    """Without upright lines, which mark phases."""
    return [line for line in lines if len(set(line.get_xdata())) > 1]


def sklearn_curves(folder: Path, results: Results, test: DataSet, system: str,
                   scale: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """False and true accept rates of each finished seed, from the files of the scores by their names."""
    seeds = [None] if system in ('HR', 'Bicubic') else results.facts.seeds
    files = [folder / f'scores/{test.name}_{system}_x{scale}_{seed}.npz' for seed in seeds]
    found = []
    for file in (file for file in files if file.is_file()):
        with np.load(file) as arrays:
            found.append(roc_curve(arrays['same'], arrays['sphereface'], drop_intermediate=False)[:2])
    return found


def mean_points(found: list[tuple[np.ndarray, np.ndarray]]) -> Points:
    """Each false accept rate of any seed, with the mean of what the seeds accept up to it."""
    rates = sorted({rate for far, _ in found for rate in far})
    return [(rate, float(np.mean([max(t for f, t in zip(far, tar, strict=True) if f <= rate) for far, tar in found])))
            for rate in rates]


@pytest.mark.parametrize('test', TESTS, ids=lambda test: test.name)
def test_roc_points_are_scikit_learns_and_over_seeds_their_mean(
        scores: tuple[Results, Path], drawn: dict[str, Figure], test: DataSet) -> None:
    roc = draw_scores(scores, drawn, test, 8).axes[0]
    lines = by_system(roc.lines)
    assert list(lines) == SYSTEMS
    assert len({tuple(points(line)) for line in lines.values()}) == len(SYSTEMS)  # so that swapped ones would show
    for system, line in lines.items():
        found = sklearn_curves(scores[1], scores[0], test, system, 8)
        assert len(found) == (1 if system in ('HR', 'Bicubic', 'EDSR') else 2)
        np.testing.assert_allclose(points(line), mean_points(found), atol=1e-12)
        assert line.get_drawstyle() == 'steps-post'  # between two rates no more is accepted than at the lower one


def test_det_points_are_normal_deviates_of_false_accepts_and_false_rejects(
        scores: tuple[Results, Path], drawn: dict[str, Figure]) -> None:
    roc, det = draw_scores(scores, drawn, TESTS[0], 8).axes
    for system, line in by_system(roc.lines).items():
        wanted = [(DEVIATE(far), DEVIATE(1 - tar)) for far, tar in
                  mean_points(sklearn_curves(scores[1], scores[0], TESTS[0], system, 8))
                  if 0 < far < 1 and 0 < tar < 1]
        (drawn_line,) = twins(det.lines, line)
        np.testing.assert_allclose(points(drawn_line), wanted, atol=1e-9)
    diagonal = [line for line in det.lines if look(line) not in [look(other) for other in roc.lines]]
    assert len(diagonal) == 1 and all(x == y for x, y in points(diagonal[0]))  # the equal errors


def test_the_axes_of_roc_and_det_say_what_they_show(scores: tuple[Results, Path], drawn: dict[str, Figure]) -> None:
    figure = draw_scores(scores, drawn, TESTS[1], 8)
    roc, det = figure.axes
    assert figure.get_suptitle() == 'generated, x8, by sphereface'
    assert (roc.get_title(), roc.get_xlabel(), roc.get_ylabel()) == ('ROC', 'false accept rate', 'true accept rate')
    assert (det.get_title(), det.get_xlabel(), det.get_ylabel()) == ('DET', 'false accept rate', 'false reject rate')
    assert (roc.get_xscale(), roc.get_yscale()) == ('log', 'linear')
    assert roc.get_xlim() == (1 / 200, 1)  # one of the impostor pairs, all of them
    assert roc.get_ylim()[0] == 0 and roc.get_ylim()[1] >= 1
    assert (det.get_xscale(), det.get_yscale()) == ('linear', 'linear')  # of deviates
    assert det.get_xlim() == det.get_ylim()
    assert det.get_xlim()[0] == pytest.approx(DEVIATE(1 / 200))


def test_the_det_axes_are_marked_in_per_cent(scores: tuple[Results, Path], drawn: dict[str, Figure]) -> None:
    det = draw_scores(scores, drawn, TESTS[0], 8).axes[1]
    for axis in (det.xaxis, det.yaxis):
        places = axis.get_major_locator()()
        marks = [label.get_text() for label in axis.get_ticklabels()]
        assert marks == ['1 %', '5 %', '10 %', '20 %', '40 %', '60 %', '80 %', '90 %']  # 0.1 % is beyond 200 pairs
        for place, mark in zip(places, marks, strict=True):
            assert place == pytest.approx(DEVIATE(float(mark.split()[0]) / 100))


def test_the_legend_names_each_system_once_with_its_colour_and_equal_error_rate(
        scores: tuple[Results, Path], drawn: dict[str, Figure]) -> None:
    figure = draw_scores(scores, drawn, TESTS[0], 8)
    (legend,) = figure.legends
    lines = by_system(figure.axes[0].lines)
    entries = dict(zip((text.get_text() for text in legend.get_texts()), legend.legend_handles, strict=True))
    assert legend.get_title().get_text() == 'equal error rate' and len(entries) == len(SYSTEMS)
    for system, (text, handle) in zip(SYSTEMS, entries.items(), strict=True):
        found = sklearn_curves(scores[1], scores[0], TESTS[0], system, 8)
        equal = np.mean([np.interp(0, far - (1 - tar), far) for far, tar in found])
        assert text == f'{system} ({100 * equal:.1f} %)'
        assert look(handle) == look(lines[system])


def test_a_system_looks_the_same_in_every_figure_and_unlike_the_others(
        scores: tuple[Results, Path], drawn: dict[str, Figure], tmp_path: Path) -> None:
    results, folder = scores
    looks = [{system: look(line) for system, line in by_system(
        draw_scores(scores, drawn, test, scale).axes[0].lines).items()} for test in TESTS for scale in (4, 8)]
    assert all(other == looks[0] for other in looks) and len(set(looks[0].values())) == len(SYSTEMS)
    fewer = replace(results, runs=[run for run in results.runs if run.system != 'VDSR'])
    without = by_system(draw_scores((fewer, folder), drawn, TESTS[0], 8).axes[0].lines)
    assert {system: look(line) for system, line in without.items()} == {
        system: seen for system, seen in looks[0].items() if system != 'VDSR'}
    accuracy_figure(results, 8, tmp_path / 'validation.png')
    lines = drawn['validation.png'].axes[0].lines
    assert {line.get_label(): look(line) for line in lines} == {system: looks[0][system] for system in TRAINED}


def test_no_two_of_forty_systems_look_alike() -> None:
    names = ['HR', 'Bicubic', *(f'S{number}' for number in range(36)), 'C-Face-v1', 'C-Face-v2']
    looks = {(style['color'], style['linestyle']) for style in styles(names).values()}
    assert len(looks) == 40


def test_without_scores_of_the_recognizer_there_is_no_figure(
        scores: tuple[Results, Path], drawn: dict[str, Figure], tmp_path: Path) -> None:
    results, folder = scores
    assert roc_and_det_figure(results, folder, TESTS[0], 8, 'another', tmp_path / 'roc.png') is None
    assert drawn == {}


def test_a_system_whose_scores_are_not_there_has_no_line(results: Results, tmp_path: Path,
                                                         drawn: dict[str, Figure]) -> None:
    for run in results.runs:
        if run.system == 'EDSR':
            (tmp_path / run.measured['held-out'].scores).unlink(missing_ok=True) if run.measured else None
    draw_scores((results, tmp_path), drawn, TESTS[0], 8)
    labels = [line.get_label().split(' (')[0] for line in drawn['roc.png'].axes[0].lines]
    assert labels == [system for system in SYSTEMS if system != 'EDSR']



# ---------------------------------------------------------------------------------------------------------- training

def run_points(run: Run, loss: str) -> Points:
    return [(point.images, point.losses[loss]) for point in run.curve]


def test_losses_stand_at_their_numbers_of_images_one_line_a_loss_and_seed(
        results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    panels = draw_losses(results, tmp_path, drawn)
    assert list(panels) == TRAINED
    for system, panel in panels.items():
        losses = ['l_g_pix', 'l_cface'] if system.startswith('C-Face') else ['l_g_pix']
        runs = [run for run in results.runs_of(system, 8) if run.curve]
        lines = curves(panel.lines)
        assert len(lines) == len(losses) * len(runs)
        named = {line.get_label(): line for line in lines if not line.get_label().startswith('_')}
        assert list(named) == losses == [text.get_text() for text in panel.get_legend().get_texts()]
        for loss, line in named.items():
            assert [points(twin) for twin in twins(lines, line)] == [run_points(run, loss) for run in runs]


def test_loss_axes_are_logarithmic_over_images(results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    panels = draw_losses(results, tmp_path, drawn)
    assert all((panel.get_xscale(), panel.get_yscale()) == ('linear', 'log') for panel in panels.values())
    figure = drawn['losses.png']
    assert figure.get_suptitle() == 'Training losses at x8'
    assert figure.get_supxlabel() == 'images through the generator'


def test_a_negative_loss_is_drawn_by_its_size(results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    (run,) = [run for run in results.runs_of('VDSR', 8) if run.seed == 0]
    run.curve = [CurvePoint(16, '', {'l_d': -2.0}), CurvePoint(32, '', {'l_d': 0.5, 'l_late': 3.0})]
    results.runs = [run]
    lines = draw_losses(results, tmp_path, drawn)['VDSR'].lines
    assert {line.get_label(): points(line) for line in lines} == {'l_d': [(16, 2), (32, 0.5)], 'l_late': [(32, 3)]}


@pytest.mark.parametrize('failed', [False, True])
def test_the_first_point_of_each_phase_is_marked_also_where_the_first_seed_failed(
        results: Results, drawn: dict[str, Figure], tmp_path: Path, failed: bool) -> None:
    if failed:
        results.runs_of('ESRGAN', 8)[0].curve = []
    panels = draw_losses(results, tmp_path, drawn)
    marks = {text.get_text().strip(): text.get_position()[0] for text in panels['ESRGAN'].texts}
    assert marks == {'PSNR': 400, 'GAN': 4400}
    lines = panels['ESRGAN'].lines
    assert sorted(line.get_xdata()[0] for line in lines if line not in curves(lines)) == [400, 4400]
    assert not any(panel.texts for system, panel in panels.items() if system != 'ESRGAN')


def test_validation_shows_each_system_and_seed_at_its_numbers_of_images(
        results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    for place, run in enumerate(results.runs):
        for point in run.curve[::3]:
            point.accuracies['sphereface'] = 0.5 + place / 100 + point.images / 1e5
        for point in run.curve:
            point.accuracies['psnr'] += place
    accuracy_figure(results, 8, tmp_path / 'validation.png')
    figure = drawn['validation.png']
    assert {panel.get_title() for panel in figure.axes} == {'PSNR in dB', 'accuracy by sphereface'}
    assert figure.get_suptitle() == 'Validation during training at x8'
    assert figure.get_supxlabel() == 'images through the generator'
    for panel in figure.axes:
        name = 'psnr' if panel.get_title() == 'PSNR in dB' else 'sphereface'
        wanted = [(run.system, [(point.images, point.accuracies[name]) for point in run.curve
                                if name in point.accuracies]) for run in results.runs if run.curve]
        assert [(line.get_label(), points(line)) for line in panel.lines] == wanted
        assert all(a != b for (_, a), (_, b) in pairwise(wanted))  # so that swapped ones would show
        assert (panel.get_xscale(), panel.get_yscale()) == ('linear', 'linear')


def test_the_legend_of_validation_has_each_system_once(
        results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    accuracy_figure(results, 8, tmp_path / 'validation.png')
    (legend,) = drawn['validation.png'].legends
    style = styles(SYSTEMS)
    assert [(text.get_text(), handle.get_color(), handle.get_linestyle()) for text, handle in
            zip(legend.get_texts(), legend.legend_handles, strict=True)] == [
        (system, style[system]['color'], style[system]['linestyle']) for system in TRAINED]


def test_curves_of_another_scale_are_not_drawn(
        scores: tuple[Results, Path], drawn: dict[str, Figure], tmp_path: Path) -> None:
    accuracy_figure(scores[0], 4, tmp_path / 'validation.png')
    at_4 = [(run.system, [(point.images, point.accuracies['psnr']) for point in run.curve])
            for run in scores[0].runs if run.scale == 4 and run.curve]
    assert [(line.get_label(), points(line)) for line in drawn['validation.png'].axes[0].lines] == at_4


def test_without_curves_there_are_no_figures(results: Results, drawn: dict[str, Figure], tmp_path: Path) -> None:
    for run in results.runs:
        run.curve = []
    assert loss_figure(results, 8, tmp_path / 'losses.png') is None
    assert accuracy_figure(results, 8, tmp_path / 'validation.png') is None
    assert drawn == {}


def test_points_are_written_with_all_their_digits_and_recognizers_have_their_own_pictures(tmp_path: Path) -> None:
    curve = roc.roc_curve([.9, .4, .6, .1], [1, 1, 0, 0])
    paths = save_curves({'a/b c': {'X': curve}, 'R': {'X': curve, 'Y': curve}}, 'title', tmp_path / 'new' / 'x8')
    assert [path.name for path in paths] == ['x8.roc.csv', 'x8.roc.a_b_c.png', 'x8.roc.R.png']
    with open(paths[0], newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['recognizer'], row['system']) for row in rows] == [
        *[('a/b c', 'X')] * 5, *[('R', 'X')] * 5, *[('R', 'Y')] * 5]
    assert [tuple(float(row[name]) for name in ('threshold', 'far', 'tar', 'frr')) for row in rows[:5]] == [
        (float('inf'), 0, 0, 1), (.9, 0, .5, .5), (.6, .5, .5, .5), (.4, .5, 1, 0), (.1, 1, 1, 0)]
    assert all(path.read_bytes()[:4] == b'\x89PNG' for path in paths[1:])
