"""InsightFace's verification sets (lfw.bin, cfp_fp.bin …): pairs of images, and nothing on who is on them.

Image 2p and 2p + 1 are pair p. Each is an identity of its own, since the file does not say where else a person is:
the keys are '<pair, five digits>-left/0' and '<pair, five digits>-right/0'. An image that stands in several pairs is
stored as often. pairs.csv has the pairs in ten folds of consecutive pairs, as InsightFace's evaluation divides them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cface_basicsr.data.archives.verification_bin import VerificationBin, read_verification_bin
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.layouts.source import Listing, Pair, Source
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import file_hash

FOLDS = 10
_SIDES = ('left', 'right')


@dataclass(frozen=True)
class BinPhotos:
    """The images of one file; a source's place is its row."""

    file: VerificationBin

    def read(self, source: Source) -> bytes:
        """The encoded image, as it was stored."""
        try:
            return self.file.read(source.place)
        except UserError as error:
            raise Rejected(str(error).replace('\n', ' ')) from error


def list_bin(path: str | Path) -> Listing:
    """The images and pairs of a verification set; the digest is that of the whole file.

    Raises:
        UserError: no such file, cut off, of another structure, or with more in it than data.
    """
    path = Path(path)
    file = read_verification_bin(path)
    sources = [Source(_key(row), f'{path.name}#{row}', row) for row in range(len(file))]
    same = np.asarray(file.same).tolist()
    folds = np.concatenate([np.full(len(part), fold) for fold, part in
                            enumerate(np.array_split(np.arange(len(same)), FOLDS))]).astype(int).tolist()
    pairs = [Pair(_key(2 * pair), _key(2 * pair + 1), same[pair], folds[pair]) for pair in range(len(same))]
    return Listing(
        BinPhotos(file), sorted(sources), digest=file_hash(path, 64), pairs=pairs, knows_people=False,
        facts={'images_in': str(path.absolute()), 'pairs': {'pairs': len(pairs), 'folds': len(set(folds))}},
        notes=[f"{len(sources)} images in '{path}', {len(pairs)} pairs, {sum(same)} of them of one person, in "
               f'{len(set(folds))} folds. Who is on them is unknown: each image is an identity of its own.'])


def _key(row: int) -> str:
    """
    >>> _key(25)
    '00012-right/0'
    """
    return f'{row // 2:05d}-{_SIDES[row % 2]}/0'
