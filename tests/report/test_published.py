"""The published numbers are those of the paper's text, every one, in its order."""

import re
from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.report.published import published

PAPER = Path(__file__).parents[3] / 'shared' / 'reference' / 'cface_paper.txt'


def printed_table(number: int) -> list[tuple[str, list[float]]]:
    """(name, numbers) of the lines with tabs before 'Table N:', or (Table 6) after it."""
    lines = PAPER.read_text(encoding='utf-8').splitlines()
    caption = next(place for place, line in enumerate(lines) if line.startswith(f'Table {number}:'))
    around = lines[caption + 1:caption + 10] if number == 6 else lines[caption - 16:caption]
    rows = []
    for line in map(str.rstrip, around):
        name, *cells = (cell.strip() for cell in line.split('\t'))
        if cells and all(re.fullmatch(r'\d+\.\d{4}', cell) for cell in cells):
            rows.append(('HR' if 'HR' in name else name, [float(cell) for cell in cells]))
    return rows


@pytest.mark.skipif(not PAPER.is_file(), reason='the text of the paper lies in ../shared, which is not here')
@pytest.mark.parametrize('number', range(1, 8))
def test_every_published_number_is_the_one_in_the_paper(number: int) -> None:
    ours = [(name, [value * (100 if measure in ('vr', 'dir') else 1) for (_, measure), value in row.items()])
            for name, row in published(number).rows.items()]
    printed = printed_table(number)
    assert len(printed) == {1: 12, 2: 11, 3: 12, 4: 12, 5: 11, 6: 6, 7: 5}[number]
    assert [name for name, _ in ours] == [name for name, _ in printed]
    assert [row for _, row in ours] == [pytest.approx(row, abs=1e-9) for _, row in printed]


def test_numbers_lie_under_their_scale_and_measure() -> None:
    assert published(1).of('VDSR') == {(2, 'accuracy'): 0.9487, (4, 'accuracy'): 0.9152, (8, 'accuracy'): 0.7442}
    assert published(2).of('RDN')[8, 'psnr'] == 28.2989
    assert published(3).of('Bicubic')[8, 'vr'] == 0.008822


def test_the_row_ours_is_c_face_v2_and_no_other() -> None:
    assert published(4).of('C-Face-v2')[8, 'accuracy'] == 0.8538
    assert published(4).of('C-Face-v1') == {}
    assert published(7).rows['version 2'] == {(4, 'accuracy'): 0.9403, (4, 'vr'): 0.632833, (4, 'dir'): 0.260716,
                                              (4, 'psnr'): 32.9545, (4, 'ssim'): 0.9132}


def test_the_source_says_that_the_data_are_others() -> None:
    assert 'Table 5' in published(5).source and 'CelebA' in published(5).source
    assert 'published on other data' in published(5).source


def test_a_table_that_the_paper_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match='there is no Table 8'):
        published(8)
