"""The paper's Figs. 3 and 4 from what was measured: how far apart the faces of one person are, before and after.

Before is Bicubic, what every network begins with; after is what a network makes of it. Distances are L_SI, equation
(4), of the whole features; a map shows only the plane in which the HR faces are spread most.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cface_basicsr.data.images.face_images import read_face
from cface_basicsr.evaluation.features import unit_features
from cface_basicsr.measuring.judging import judge_of
from cface_basicsr.measuring.results import REFERENCES, DataSet, Faces, Results, load_mapped
from cface_basicsr.report.figures import COLOURS, save_figure

_HR, _BEFORE = REFERENCES
_RED, _MOST_PEOPLE = '#cc2222', 3
_PLACES = {'HR': (0.0, 0.95), 'SR': (0.0, 0.0), 'compare': (1.75, 0.475)}
"""The lower left corners of the three faces of Fig. 3, in widths of a face."""


class MappedFaces(NamedTuple):
    """What one recognizer sees in some faces of a test set.

    Attributes:
        keys: of the n faces; a person is what is before '/'.
        features: system -> (n, D), of unit length.
    """

    keys: list[str]
    features: dict[str, NDArray[np.float64]]

    def people(self) -> NDArray[np.str_]:
        """The person (n,) of each face."""
        return np.array([key.split('/')[0] for key in self.keys])


def mapped_faces(results: Results, folder: Path, test: DataSet, scale: int) -> MappedFaces | None:
    """The features of each system by the judge, which is the recognizer named last; of the first seed that has them.

    None where those of HR, of Bicubic or of all others are missing.

    Args:
        folder: where the paths in the results begin.
    """
    judge, keys, found = judge_of(results), None, {}
    for system in results.systems:
        kept = (run.measured[test.name].features for run in results.measured_on(test, system, scale))
        path = next((folder / each for each in kept if each and (folder / each).is_file()), None)
        if path:
            own_keys, features = load_mapped(path)
            keys = keys or own_keys
            if judge in features and own_keys == keys:
                found[system] = unit_features(features[judge]).numpy().astype(np.float64)
    return MappedFaces(keys, found) if {_HR, _BEFORE} < found.keys() else None


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """L_SI, equation (4), of unit features (…, D), in [0, 4]."""
    return np.square(one - other).sum(-1)


def among_people(features: NDArray[np.float64], people: NDArray[np.str_]) -> float:
    """The mean L_SI of two faces of one person, over all such pairs; NaN where nobody has two.

    >>> among_people(np.eye(3), np.array(['a', 'a', 'b']))
    2.0
    """
    first, second = np.triu_indices(len(people), 1)
    same = people[first] == people[second]
    return float(apart(features[first[same]], features[second[same]]).mean()) if same.any() else float('nan')


def plane_of(hr: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (D,) of features (n, D), and the two directions (2, D) in which they are spread most (PCA)."""
    mean = hr.mean(0)
    return mean, np.linalg.svd(hr - mean, full_matrices=False)[2][:2]


# ----------------------------------------------------------------------------------------------------------- figure 4

def map_figure(faces: MappedFaces, title: str, path: Path) -> Path:
    """One panel for each system: a colour for each person, stars for HR, hollow triangles before, solid ones after."""
    mean, directions = plane_of(faces.features[_HR])
    places = {system: (each - mean) @ directions.T for system, each in faces.features.items()}
    after = [system for system in places if system not in REFERENCES]
    columns = min(3, len(after))
    rows = -(-len(after) // columns)
    figure = Figure(figsize=(max(5.5, 4.3 * columns), 4.4 * rows + 0.9), layout='constrained')
    figure.suptitle(title, fontsize=12)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for panel, system in zip(panels, after, strict=False):
        _draw_map(panel, faces, places, system)
    for panel in panels[len(after):]:
        panel.remove()
    marks = [Line2D([], [], color='#444444', marker=marker, markerfacecolor=inside, linestyle='', label=label)
             for marker, inside, label in (('*', '#444444', _HR), ('^', 'none', f'{_BEFORE}, before'),
                                           ('^', '#444444', 'super-resolved, after'))]
    figure.legend(handles=marks, loc='outside lower center', ncols=3, fontsize=8, frameon=False)
    return save_figure(figure, path)


def _draw_map(panel: Axes, faces: MappedFaces, places: Mapping[str, NDArray[np.float64]], system: str) -> None:
    people = faces.people()
    for number, person in enumerate(dict.fromkeys(people.tolist())):
        colour = COLOURS[number % len(COLOURS)]
        hr, before, after = (places[name][people == person].T for name in (_HR, _BEFORE, system))
        panel.plot(*np.stack([before, after]).transpose(1, 0, 2), color=colour, linewidth=0.6, alpha=0.45)
        panel.plot(*before, '^', color=colour, markerfacecolor='none', markersize=5)
        panel.plot(*after, '^', color=colour, markersize=5)
        panel.plot(*hr, '*', color=colour, markersize=9, markeredgecolor='black', markeredgewidth=0.4)
    to_hr, spread = ({name: of(faces.features[name]) for name in (_HR, _BEFORE, system)} for of in (
        lambda each: float(apart(each, faces.features[_HR]).mean()), lambda each: among_people(each, people)))
    panel.set_title(f'{system}\nSR to HR: {to_hr[system]:.2f} (before {to_hr[_BEFORE]:.2f})\ntwo faces of a person: '
                    f'{spread[system]:.2f} (before {spread[_BEFORE]:.2f}, HR {spread[_HR]:.2f})', fontsize=8.5)
    panel.tick_params(labelbottom=False, labelleft=False, length=0)
    panel.set_aspect('equal', 'box')
    panel.grid(color='#eeeeee')


# ----------------------------------------------------------------------------------------------------------- figure 3

def compare_figure(results: Results, faces: MappedFaces, shown: Faces, scale: int, folder: Path, title: str,
                   path: Path) -> Path | None:
    """For some people, HR, SR and another photo of the person with the distances between them, before and after.

    None where no picture is there. After is the last system of the results that has pictures.
    """
    pictures = {system: next((run.faces for run in results.runs_of(system, scale) if run.faces), {})
                for system in faces.features}
    after = next((system for system in reversed(pictures) if pictures[system] and system not in REFERENCES), None)
    there = [key for key in shown.keys if after and _files(key, after, pictures, shown, folder)][:_MOST_PEOPLE]
    if not there:
        return None
    figure = Figure(figsize=(9.2, 3.3 * len(there) + 0.8), layout='constrained')
    figure.suptitle(title, fontsize=12)
    for row, key in enumerate(there):
        for column, system in enumerate((_BEFORE, after)):
            panel = figure.add_subplot(len(there), 2, 2 * row + column + 1)
            panel.set_title('' if row else f'{system}, {"after" if column else "before"}', fontsize=10)
            _draw_triangle(panel, _files(key, system, pictures, shown, folder),
                           _distances(faces, key, shown.compare[key][0], system))
    return save_figure(figure, path)


def _files(key: str, system: str, pictures: Mapping[str, Mapping[str, str]], shown: Faces,
           folder: Path) -> dict[str, Path]:
    """HR, SR and compare face of a key, if all of them are there, for this system and for the one before."""
    needed = [pictures.get(name, {}).get(key) for name in (_HR, system, _BEFORE)]
    if None in needed or key not in shown.compare:
        return {}
    paths = [folder / each for each in (*needed, shown.compare[key][1])]
    return dict(zip(_PLACES, (paths[0], paths[1], paths[3]), strict=True)) if all(map(Path.is_file, paths)) else {}


def _distances(faces: MappedFaces, key: str, compare: str, system: str) -> dict[tuple[str, str], float]:
    own, other = faces.keys.index(key), faces.keys.index(compare)
    hr, sr = faces.features[_HR], faces.features[system]
    pairs = {('SR', 'HR'): (sr[own], hr[own]), ('SR', 'compare'): (sr[own], hr[other]),
             ('HR', 'compare'): (hr[own], hr[other])}
    return {names: float(apart(*both)) for names, both in pairs.items()}


def _draw_triangle(panel: Axes, files: Mapping[str, Path], distances: Mapping[tuple[str, str], float]) -> None:
    for name, (left, bottom) in _PLACES.items():
        panel.imshow(read_face(files[name]), extent=(left, left + 0.8, bottom, bottom + 0.8), interpolation='nearest')
        panel.text(left + 0.4, bottom + 0.82, name, ha='center', va='bottom', fontsize=8)
    ends = {('SR', 'HR'): ((0.86, 0.4), (0.86, 1.35)), ('SR', 'compare'): ((0.9, 0.3), (1.7, 0.75)),
            ('HR', 'compare'): ((0.9, 1.45), (1.7, 1.0))}
    for names, (start, end) in ends.items():
        panel.annotate('', end, start, arrowprops={'arrowstyle': '<->', 'color': _RED, 'linewidth': 1.4})
        panel.text((start[0] + end[0]) / 2 + 0.05, (start[1] + end[1]) / 2, f'{distances[names]:.2f}', color=_RED,
                   fontsize=10, bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1})
    panel.set(xlim=(-0.05, 2.65), ylim=(-0.05, 1.95), aspect='equal')
    panel.axis('off')
