"""Curves: training losses, validation, ROC and DET. Each figure is one PNG.

Figures are drawn without pyplot, so that nothing of them stays in the process.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from cface_basicsr.evaluation.roc import RocCurve, equal_error_rate, mean_roc, roc_curve
from cface_basicsr.files.atomic import replacing, write_text
from cface_basicsr.files.text_file import table_text
from cface_basicsr.measuring.results import DataSet, Results, Run, load_scores

COLOURS = ('#4477aa', '#66ccee', '#228833', '#ccbb44', '#ee8866', '#aa3377', '#997700', '#44bb99', '#8866cc',
            '#bb5566', '#556677', '#99bb33')
_FIXED = {'HR': ('black', '-', 1.8), 'Bicubic': ('#999999', '--', 1.8), 'C-Face-v1': ('#ff9933', '-', 1.8),
          'C-Face-v2': ('#dd1111', '-', 2.2)}
_DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)


def styles(systems: Sequence[str]) -> dict[str, dict[str, object]]:
    """Colour, line style and width of each system, the same in all figures."""
    free = [system for system in systems if system not in _FIXED]
    chosen = {system: (COLOURS[place % len(COLOURS)], ('-', '-.', ':')[place // len(COLOURS) % 3], 1.3)
              for place, system in enumerate(free)} | _FIXED
    return {system: dict(zip(('color', 'linestyle', 'linewidth'), chosen[system], strict=True)) for system in systems}


# ---------------------------------------------------------------------------------------------------------- training

def loss_figure(results: Results, scale: int | None, path: Path) -> Path | None:
    """One panel per system, one line per loss and seed, on a logarithmic axis; None where no curve was kept.

    Losses of different systems are different quantities: only their course can be compared.
    """
    systems = [system for system in results.systems if any(run.curve for run in results.runs_of(system, scale))]
    if not systems:
        return None
    figure, panels = _panels(systems, f'Training losses{_at(scale)}', columns=4, width=3.2, height=2.5)
    for system, panel in panels.items():
        _draw_losses(panel, results.runs_of(system, scale))
    return save_figure(figure, path)


def _draw_losses(panel: Axes, runs: Sequence[Run]) -> None:
    names = dict.fromkeys(name for run in runs for point in run.curve for name in point.losses)
    for run in runs:
        for place, name in enumerate(names):
            points = [(point.images, abs(point.losses[name])) for point in run.curve if name in point.losses]
            _plot(panel, points, label=name, color=COLOURS[place % len(COLOURS)], linewidth=1.1, alpha=0.8)
    _mark_phases(panel, next(run for run in runs if run.curve))
    panel.set_yscale('log')
    panel.legend(**_once([panel]), fontsize=6.5, frameon=False, ncols=2 if len(names) > 4 else 1)


def _mark_phases(panel: Axes, run: Run) -> None:
    """A thin line where a phase begins, and its name."""
    begins = {point.phase: point.images for point in reversed(run.curve) if point.phase}
    if len(begins) > 1:
        for phase, images in begins.items():
            panel.axvline(images, color='#bbbbbb', linewidth=0.8, zorder=0)
            panel.text(images, 0.02, f' {phase}', fontsize=6.5, color='#666666', transform=panel.get_xaxis_transform())


def accuracy_figure(results: Results, scale: int | None, path: Path) -> Path | None:
    """One panel per validated number, one line per system and seed; None where no curve was kept.

    PSNR is in dB, an accuracy in [0, 1].
    """
    runs = [run for run in results.runs if run.scale == scale]
    names = list(dict.fromkeys(name for run in runs for point in run.curve for name in point.accuracies))
    if not names:
        return None
    titles = ['PSNR in dB' if name == 'psnr' else f'accuracy by {name}' if name in results.facts.recognizers else name
              for name in names]
    figure, panels = _panels(titles, f'Validation during training{_at(scale)}', columns=2, width=5.5, height=3.8)
    style = styles(results.systems)
    for name, panel in zip(names, panels.values(), strict=True):
        for run in runs:
            points = [(point.images, point.accuracies[name]) for point in run.curve if name in point.accuracies]
            _plot(panel, points, label=run.system, marker='.', markersize=3, **style[run.system])
    figure.legend(**_once(panels.values()), loc='outside right center', fontsize=8, frameon=False)
    return save_figure(figure, path)


def _at(scale: int | None) -> str:
    return '' if scale is None else f' at x{scale}'


def _panels(titles: Sequence[str], heading: str, *, columns: int, width: float,
            height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel per title, over the images through the generator."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(max(5.0, columns * width), rows * height + 0.6), layout='constrained')
    figure.suptitle(heading, fontsize=12)
    figure.supxlabel('images through the generator', fontsize=9)
    panels = {title: figure.add_subplot(rows, columns, number) for number, title in enumerate(titles, 1)}
    for title, panel in panels.items():
        panel.set_title(title, fontsize=10)
        panel.tick_params(which='both', labelsize=7)
        panel.grid(color='#eeeeee')
    return figure, panels


def _plot(panel: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    if points:
        panel.plot(*zip(*points, strict=True), **style)


def _once(panels: Iterable[Axes]) -> dict[str, Any]:
    """The handles and labels of a legend that names each label once, however many lines and panels have it."""
    once = {label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    return {'handles': list(once.values()), 'labels': list(once)}


# ------------------------------------------------------------------------------------------------------- verification

def roc_and_det_figure(results: Results, folder: Path, test: DataSet, scale: int, recognizer: str,
                       path: Path) -> Path | None:
    """ROC (logarithmic FAR) and DET (normal deviates), one line per system; None where no scores are there.

    With several seeds a line is the mean at equal false accept rates, and the equal error rate in the legend the mean.

    Args:
        folder: where the paths of the scores begin.
    """
    curves = {system: _curves(results.measured_on(test, system, scale), folder, test, recognizer)
              for system in results.systems}
    curves = {system: found for system, found in curves.items() if found}
    if not curves:
        return None
    return _draw_roc_and_det(curves, results.systems, f'{test.name}, x{scale}, by {recognizer}', path)


def _curves(runs: Iterable[Run], folder: Path, test: DataSet, recognizer: str) -> list[RocCurve]:
    paths = [folder / run.measured[test.name].scores for run in runs]
    found = [load_scores(path) for path in paths if path.is_file()]
    return [roc_curve(scores[recognizer], same) for same, scores in found if recognizer in scores]


def _draw_roc_and_det(curves: Mapping[str, Sequence[RocCurve]], systems: Sequence[str], title: str, path: Path) -> Path:
    """ROC and DET of each system from its curves, one per seed, as a PNG; `systems` are all that have a style."""
    figure = Figure(figsize=(13, 4.8), layout='constrained')
    roc, det = figure.subplots(1, 2)
    style = styles(systems)
    for system, found in curves.items():
        far, tar = mean_roc(found)
        label = f'{system} ({100 * np.mean([equal_error_rate(curve) for curve in found]):.1f} %)'
        roc.plot(far, tar, drawstyle='steps-post', label=label, **style[system])
        inside = (far > 0) & (far < 1) & (tar > 0) & (tar < 1)  # the ends lie at infinity
        det.plot(ndtri(far[inside]), ndtri(1 - tar[inside]), **style[system])
    smallest = min(curve.far[curve.far > 0][0] for found in curves.values() for curve in found)
    roc.set(xscale='log', xlim=(smallest, 1), ylim=(0, 1.01), ylabel='true accept rate', title='ROC')
    _frame_det(det, smallest)
    for panel in (roc, det):
        panel.set_xlabel('false accept rate')
        panel.grid(color='#e5e5e5')
    figure.legend(loc='outside right center', fontsize=8, frameon=False, title='equal error rate', title_fontsize=8)
    figure.suptitle(title, fontsize=12)
    return save_figure(figure, path)


def _frame_det(panel: Axes, smallest: float) -> None:
    ticks = [share for share in _DET_TICKS if share >= smallest]
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_ticks(ndtri(ticks), [f'{100 * share:g} %' for share in ticks])
    ends = ndtri((min(smallest, 0.1), 0.97))
    panel.plot(ends, ends, color='#cccccc', linewidth=0.8, zorder=0)
    panel.set(xlim=ends, ylim=ends, ylabel='false reject rate', title='DET')


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG; returns its path."""
    with replacing(path) as aside:
        figure.savefig(aside, dpi=130, format='png')
    return path


def save_curves(curves: Mapping[str, Mapping[str, RocCurve]], title: str, stem: str | Path) -> list[Path]:
    """Write <stem>.roc.csv, and <stem>.roc.png, or <stem>.roc.<recognizer>.png for each of several recognizers.

    Args:
        curves: recognizer -> system -> curve.
        title: above the pictures.
    """
    table = Path(f'{stem}.roc.csv')
    points = ([recognizer, system, threshold, far, tar, 1 - tar] for recognizer, systems in curves.items()
              for system, curve in systems.items()
              for far, tar, threshold in zip(*(part.tolist() for part in curve), strict=True))
    write_text(table, table_text([['recognizer', 'system', 'threshold', 'far', 'tar', 'frr'], *points]))
    pictures = []
    for recognizer, systems in curves.items():
        name = '' if len(curves) == 1 else '.' + re.sub(r'[^\w-]+', '_', recognizer)
        pictures.append(_draw_roc_and_det({system: [curve] for system, curve in systems.items()}, list(systems),
                                          f'{title}, by {recognizer}', Path(f'{stem}.roc{name}.png')))
    return [table, *pictures]
