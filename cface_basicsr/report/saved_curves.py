"""ROC and DET points of `cface evaluate` as files: one CSV with all of them, and a picture for each recognizer."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from cface_basicsr.evaluation.roc import RocCurve
from cface_basicsr.report.figures import draw_roc_and_det

HEADER = ('recognizer', 'system', 'threshold', 'far', 'tar', 'frr')


def save_curves(curves: Mapping[str, Mapping[str, RocCurve]], title: str, stem: str | Path) -> list[Path]:
    """Write <stem>.roc.csv, and <stem>.roc.png, or one <stem>.roc.<recognizer>.png each where there are several.

    Args:
        curves: recognizer -> system -> curve.
        title: above the pictures.
    """
    table = Path(f'{stem}.roc.csv')
    table.parent.mkdir(parents=True, exist_ok=True)
    with open(table, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(HEADER)
        for recognizer, systems in curves.items():
            for system, curve in systems.items():
                writer.writerows((recognizer, system, threshold, far, tar, 1 - tar) for far, tar, threshold in
                                 zip(*(part.tolist() for part in curve), strict=True))
    return [table, *(_draw(recognizer, systems, title, stem, len(curves)) for recognizer, systems in curves.items())]


def _draw(recognizer: str, systems: Mapping[str, RocCurve], title: str, stem: str | Path, count: int) -> Path:
    name = '' if count == 1 else '.' + re.sub(r'[^\w-]+', '_', recognizer)
    return draw_roc_and_det({system: [curve] for system, curve in systems.items()}, list(systems),
                            f'{title}, by {recognizer}', Path(f'{stem}.roc{name}.png'))
