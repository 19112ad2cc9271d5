"""Curves as files: every point, and a picture for each recognizer."""

import csv
from pathlib import Path

from cface_basicsr.evaluation.roc import roc_curve
from cface_basicsr.report.saved_curves import save_curves


def test_points_are_written_with_all_their_digits_and_recognizers_have_their_own_pictures(tmp_path: Path) -> None:
    curve = roc_curve([.9, .4, .6, .1], [1, 1, 0, 0])
    paths = save_curves({'a/b c': {'X': curve}, 'R': {'X': curve, 'Y': curve}}, 'title', tmp_path / 'new' / 'x8')
    assert [path.name for path in paths] == ['x8.roc.csv', 'x8.roc.a_b_c.png', 'x8.roc.R.png']
    with open(paths[0], newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['recognizer'], row['system']) for row in rows] == [
        *[('a/b c', 'X')] * 5, *[('R', 'X')] * 5, *[('R', 'Y')] * 5]
    assert [tuple(float(row[name]) for name in ('threshold', 'far', 'tar', 'frr')) for row in rows[:5]] == [
        (float('inf'), 0, 0, 1), (.9, 0, .5, .5), (.6, .5, .5, .5), (.4, .5, 1, 0), (.1, 1, 1, 0)]
    assert all(path.read_bytes()[:4] == b'\x89PNG' for path in paths[1:])
