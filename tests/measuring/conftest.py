"""A detector that is made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cface_basicsr.data.images.align import Aligner, template_points

PLACES = template_points('arcface', 128) * 0.8 + 10
"""Where the made-up detector finds the landmarks of every face that it finds."""


@pytest.fixture
def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A detector that finds one face on every image but the first `blind` ones, and counts its calls."""
    class Made:
        blind, calls = 0, 0
    made = Made()

    def detect(aligner: Aligner, photo: np.ndarray) -> np.ndarray:
        made.calls += 1
        box = [20, 20, 100, 100, 1.0]
        return np.zeros((0, 15)) if made.calls <= made.blind else np.array([[*box, *PLACES.ravel()]])
    monkeypatch.setattr(Aligner, 'detect', detect)
    made.file = tmp_path / 'detection_mobilenet0.25_Final.pth'
    made.file.write_bytes(b'detector')
    return made
