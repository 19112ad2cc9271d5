import numpy as np
import pytest
from PIL import Image

from cface_basicsr.errors import UserError
from cface_basicsr.report.face_grid import face_grid


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
