"""The two lists of TinyFace's Testing_Set, made up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat


def write_tinyface_lists(folder: Path, gallery: Mapping[str, Any], probe: Mapping[str, Any]) -> Path:
    """As in the official files: a column of cells with one name each, and a column of identities.

    Args:
        gallery, probe: file name -> identity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part, file, people in (('gallery', 'gallery_match_img_ID_pairs.mat', gallery),
                               ('probe', 'probe_img_ID_pairs.mat', probe)):
        names = np.empty((len(people), 1), dtype=object)
        names[:, 0] = list(people)
        savemat(folder / file, {f'{part}_set': names, f'{part}_ids': np.array(list(people.values()))[:, None]})
    return folder
