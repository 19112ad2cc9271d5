"""A region is cut where it says, framed where it is cut, and shows the same part of every column."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.results import Faces, Region
from cface_basicsr.report.zoomed_grid import DEFAULT_REGIONS, crop, framed, regions_of, shown_faces, write_grids
from tests.report.made_up_results import made_up_results

FACE = np.arange(40 * 20 * 3, dtype=np.uint16).reshape(40, 20, 3).astype(np.uint8)


def test_a_region_is_its_share_of_the_picture_rounded_outwards() -> None:
    assert (crop(FACE, Region('r', (0.25, 0.5, 0.75, 1.0))) == FACE[20:40, 5:15]).all()
    assert (crop(FACE, Region('r', (0.26, 0.51, 0.74, 0.99))) == FACE[20:40, 5:15]).all()


def test_the_frame_lies_on_the_border_of_the_cut_and_the_face_is_left_alone() -> None:
    region, before = Region('r', (0.25, 0.5, 0.75, 1.0)), FACE.copy()
    changed = (framed(FACE, region) == (230, 30, 30)).all(axis=2)
    expected = np.zeros((40, 20), bool)
    expected[20:40, 5:15] = True
    expected[21:39, 6:14] = False
    assert (changed == expected).all()
    assert (FACE == before).all()


@pytest.mark.parametrize('box', [(0.5, 0.0, 0.5, 1.0), (0.0, 0.0, 1.2, 1.0), (0.0, 0.9, 1.0, 0.1)])
def test_a_region_outside_or_without_extent_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UserError, match="region 'r': expected left < right"):
        crop(FACE, Region('r', box))


def test_faces_without_a_region_of_their_own_take_the_default_ones_in_turn() -> None:
    own = Region('mole', (0, 0, 0.5, 0.5))
    assert regions_of(Faces('t', ['a', 'b', 'c', 'd'], regions={'b': own})) == [
        DEFAULT_REGIONS[0], own, DEFAULT_REGIONS[2], DEFAULT_REGIONS[0]]


def test_columns_are_the_input_and_all_systems_of_the_first_finished_seed(tmp_path: Path) -> None:
    results = made_up_results(tmp_path, scales=(8,), seeds=(1, 0))
    columns = shown_faces(results, results.faces[0], 8, tmp_path)
    assert list(columns) == ['LR', *results.systems]
    assert columns['LR'][0].shape == (4, 4, 3)
    finished = next(run for run in results.runs if run.system == 'EDSR' and run.seed == 0)  # seed 1 has failed
    with Image.open(tmp_path / finished.faces['0000001/000']) as image:
        assert (columns['EDSR'][1] == np.asarray(image)).all()


def test_a_grid_shows_the_same_part_of_the_input_as_of_the_face(tmp_path: Path) -> None:
    hr = np.full((32, 32, 3), 255, np.uint8)
    hr[:16, :16] = 0
    region = Region('corner', (0.0, 0.0, 0.5, 0.5))
    _, zoomed = write_grids({'LR': [hr[::8, ::8]], 'HR': [hr]}, [region], tmp_path / 'fig')
    with Image.open(zoomed) as image:
        pixels = np.asarray(image)
    dark = (pixels[pixels.shape[0] - 8 - 4 - 16] == 0).all(axis=1)  # a line through the middle of the cells
    assert dark.sum() >= 2 * 32  # both enlarged cuts are all dark
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['figa.png', 'figb.png']
