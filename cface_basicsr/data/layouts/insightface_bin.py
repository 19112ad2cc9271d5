"""InsightFace's verification sets (lfw.bin, cfp_fp.bin …): pairs of images without identities.

Images 2p and 2p + 1 are pair p. Each image is an identity of its own, since the file does not say who is on it: the
keys are '<pair, five digits>-left/0' and '<pair, five digits>-right/0'. An image of several pairs is stored several
times. pairs.csv divides the pairs into ten folds of consecutive pairs, as InsightFace's evaluation does.
"""

from pathlib import Path

import numpy as np

from cface_basicsr.data.archives.verification_bin import read_verification_bin
from cface_basicsr.data.layouts.source import ArchivePhotos, Listing, Source
from cface_basicsr.files.named_pairs import Pair
from cface_basicsr.files.network_file import file_hash

FOLDS = 10
_SIDES = ('left', 'right')


def list_bin(path: str | Path) -> Listing:
    """The images and pairs of a verification set; the digest is that of the whole file.

    Raises:
        UserError: the file is missing, truncated, of another structure, or holds more than data.
    """
    path = Path(path)
    file = read_verification_bin(path)
    sources = [Source(_key(row), f'{path.name}#{row}', (row,)) for row in range(len(file))]
    same = np.asarray(file.same).tolist()
    folds = np.concatenate([np.full(len(part), fold) for fold, part in
                            enumerate(np.array_split(np.arange(len(same)), FOLDS))]).astype(int).tolist()
    pairs = [Pair(_key(2 * pair), _key(2 * pair + 1), same[pair], folds[pair]) for pair in range(len(same))]
    return Listing(
        ArchivePhotos(file.read), sorted(sources), digest=file_hash(path, 64), pairs=pairs, has_identities=False,
        facts={'images_in': str(path.absolute()), 'pairs': {'pairs': len(pairs), 'folds': len(set(folds))}},
        notes=[f"{len(sources)} images in '{path}': {len(pairs)} pairs, {sum(same)} of them of the same person, in "
               f'{len(set(folds))} folds. Who is on them is unknown, so each image is an identity of its own.'])


def _key(row: int) -> str:
    """The key of an image.

    >>> _key(25)
    '00012-right/0'
    """
    return f'{row // 2:05d}-{_SIDES[row % 2]}/0'
