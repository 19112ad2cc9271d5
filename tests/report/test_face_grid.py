"""Faces are whole in their row and column; a region is cut where it says, framed there, the same of every column."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.measuring.results import Faces, Region
from cface_basicsr.report.face_grid import (
    DEFAULT_REGIONS,
    crop,
    face_grid,
    framed,
    regions_of,
    shown_faces,
    write_grids,
)
from tests.report.made_up_results import made_up_results

FACE = np.arange(40 * 20 * 3, dtype=np.uint16).reshape(40, 20, 3).astype(np.uint8)


def plain(colour, size=64):
    return np.full((size, size, 3), colour, dtype=np.uint8)


def cells_of(picture, colour):
    """Rows and columns of the pixels of a colour: (top, bottom, left, right)."""
    ys, xs = np.nonzero((picture == colour).all(axis=2))
    return ys.min(), ys.max(), xs.min(), xs.max()


def test_each_face_stands_whole_in_its_row_and_column(tmp_path):
    columns = {'a': [plain((200, 0, 0)), plain((0, 200, 0))], 'b': [plain((0, 0, 200)), plain((0, 90, 90))]}
    picture = np.asarray(Image.open(face_grid(columns, tmp_path / 'sub' / 'grid.png')))
    red, green, blue, cyan = (cells_of(picture, colour) for colour in
                              [(200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 90, 90)])
    for top, bottom, left, right in (red, green, blue, cyan):
        assert bottom - top == right - left == 63
    assert red[0] == blue[0] and green[0] == cyan[0] and red[1] < green[0]
    assert red[2] == green[2] and blue[2] == cyan[2] and red[3] < blue[2]
    assert sorted(path.name for path in (tmp_path / 'sub').iterdir()) == ['grid.png']


def test_a_small_input_is_enlarged_by_repeated_pixels(tmp_path):
    small = np.random.default_rng(0).integers(1, 250, (8, 8, 3), dtype=np.uint8)
    picture = np.asarray(Image.open(face_grid({'in': [small], 'out': [plain((1, 2, 3))]}, tmp_path / 'g.png', scale=2)))
    top, bottom, left, _ = cells_of(picture, (1, 2, 3))
    assert bottom - top == 127
    expected = np.kron(small, np.ones((16, 16, 1), dtype=np.uint8))
    np.testing.assert_array_equal(picture[top:top + 128, left - 4 - 128:left - 4], expected)


def test_titles_and_row_labels_are_drawn_outside_the_faces(tmp_path):
    columns = {'SRGAN continued': [plain((200, 0, 0))], 'C-Face-v1': [plain((0, 0, 200))]}
    with_labels = np.asarray(Image.open(face_grid(columns, tmp_path / 'a.png', row_labels=['person 1'])))
    top, bottom, left, right = cells_of(with_labels, (200, 0, 0))
    head, side = with_labels[:top], with_labels[top:bottom, :left]
    assert head.min() < 60 and side.min() < 60  # dark text on white
    ink = np.flatnonzero((head.min(axis=2) < 128).any(axis=1))
    assert ink.min() > 0 and ink.max() < top - 1  # whole letters: none touches the border or a face
    assert (with_labels[top:bottom + 1, left:right + 1] == (200, 0, 0)).all()


def test_captions_are_drawn_below_the_faces_of_their_column(tmp_path: Path) -> None:
    columns = {'a': [plain((200, 0, 0)), plain((0, 200, 0))], 'b': [plain((0, 0, 200)), plain((0, 90, 90))]}
    bare = np.asarray(Image.open(face_grid(columns, tmp_path / 'bare.png')))
    picture = np.asarray(Image.open(face_grid(columns, tmp_path / 'g.png', captions={'b': ['0.91', '0.42']})))
    red, green, blue, cyan = (cells_of(picture, colour) for colour in
                              [(200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 90, 90)])
    assert len(picture) > len(bare) and red[0] == blue[0] and green[0] == cyan[0]
    dark = (picture < 100).all(axis=2)
    assert dark[blue[1] + 1:cyan[0], blue[2]:blue[3]].any() and dark[cyan[1] + 1:, cyan[2]:cyan[3]].any()
    assert not dark[red[1] + 1:green[0], red[2]:red[3]].any()


def test_a_long_title_makes_its_column_wide_enough(tmp_path):
    picture = np.asarray(Image.open(face_grid({'Donaudampfschiffahrt': [plain((9, 9, 9), 32)]}, tmp_path / 'a.png')))
    ink = np.flatnonzero((picture.min(axis=2) < 128).any(axis=0))
    assert 0 < ink.min() and ink.max() < picture.shape[1] - 1


def test_bad_columns_are_refused(tmp_path):
    for columns, words in [({}, 'equal length'), ({'a': []}, 'equal length'),
                           ({'a': [plain(1)], 'b': [plain(1)] * 2}, "'a': 1, 'b': 2"),
                           ({'a': [plain(1) / 255]}, "column 'a': expected uint8")]:
        with pytest.raises(UserError, match=words):
            face_grid(columns, tmp_path / 'grid.png')
    with pytest.raises(UserError, match='1 rows got 2 row labels'):
        face_grid({'a': [plain(1)]}, tmp_path / 'grid.png', row_labels=['x', 'y'])
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- of the results

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
