"""The paper's own numbers, Tables 1 to 7 (Han et al., JAIR 2022). Trained and measured on other data than ours.

Training was on CASIA-WebFace (494,414 photos); Tables 1 to 3, 6 and 7 measure on LFW, 4 and 5 on CelebA.
`published.txt` holds the digits as printed; `published` turns them into our units.
"""

from importlib.resources import files
from typing import NamedTuple

from cface_basicsr.errors import UserError

OURS = 'C-Face (Ours)'
"""How the paper's tables call what its section 5.2 calls C-Face-v2."""


class PublishedTable(NamedTuple):
    """One table of the paper.

    Attributes:
        number: 1 to 7.
        measured_on: LFW or CelebA.
        rows: name as printed, in the printed order -> (scale, measure) -> value. Measures: accuracy, vr, dir, ssim
            (shares in [0, 1]), psnr (dB).
    """

    number: int
    measured_on: str
    rows: dict[str, dict[tuple[int, str], float]]

    def of(self, system: str) -> dict[tuple[int, str], float]:
        """The numbers of one of our rows; empty where the paper has no such row. C-Face-v2 is its 'C-Face (Ours)'."""
        return self.rows.get({'C-Face-v2': OURS}.get(system, system), {})

    @property
    def source(self) -> str:
        """Which table it is, and on which data."""
        return (f"Table {self.number} of the C-Face paper, published on other data: trained on CASIA-WebFace (494,414 "
                f'photos), measured on {self.measured_on}')


def published(number: int) -> PublishedTable:
    """A table of the paper in our units.

    The scale of Tables 6 and 7 is not printed; their rows 'k=3' and 'version 2' are the x4 numbers of Tables 1 to 3.

    Args:
        number: 1 to 7.

    >>> published(3).of('C-Face-v2')[8, 'dir']
    0.103348
    """
    for each in files(__package__).joinpath('published.txt').read_text(encoding='utf-8').split('\n[')[1:]:
        head, _, lines = each.partition(']\n')
        own_number, measured_on, scales, measures = (part.strip() for part in head.split('|'))
        if int(own_number) == number:
            places = [(int(scale), measure) for scale in scales.split() for measure in measures.split()]
            return PublishedTable(number, measured_on, dict(_row(line, places) for line in lines.strip().splitlines()))
    raise UserError(f'the paper has Tables 1 to 7, there is no Table {number}.')


def _row(line: str, places: list[tuple[int, str]]) -> tuple[str, dict[tuple[int, str], float]]:
    words = line.split()
    name, digits = ' '.join(words[:-len(places)]), words[-len(places):]
    return name, {(scale, measure): round(float(word) / 100, 6) if measure in ('vr', 'dir') else float(word)
                  for (scale, measure), word in zip(places, digits, strict=True)}
