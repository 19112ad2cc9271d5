"""A toy blufr_lfw_config.mat."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat


def write_blufr_file(path: Path, keys: Sequence[str], labels: Sequence[int],
                     trials: Sequence[tuple[list[int], list[int]]]) -> None:
    """Indices and labels count from 1, in cells; who is in a trial neither as gallery nor as probe is for training.

    Args:
        keys: '<identity>/<image>' of each image; labels: from 0.
        trials: (gallery, probe) of each, rows from 0.
    """
    def cells(lists: list[list[int]]) -> np.ndarray:
        column = np.empty((len(lists), 1), dtype=object)
        column[:, 0] = [np.array(rows, dtype=float)[:, None] + 1 for rows in lists]
        return column
    names = np.empty((len(keys), 1), dtype=object)
    names[:, 0] = [f"{key.split('/')[1]}.jpg" for key in keys]
    tests = [gallery + probe for gallery, probe in trials]
    used = [{labels[row] for row in test} for test in tests]
    savemat(path, {
        'imageList': names, 'labels': np.array(labels, dtype=float)[:, None] + 1,
        'trainIndex': cells([[row for row in range(len(keys)) if labels[row] not in people] for people in used]),
        'testIndex': cells(tests), 'galIndex': cells([gallery for gallery, _ in trials]),
        'probIndex': cells([probe for _, probe in trials])})
