"""InsightFace's sets.

Those to train on are RecordIO (train.rec, train.idx, property): <label, seven digits>/<record number, eight digits>.

Those to verify with (lfw.bin, cfp_fp.bin …) are pairs of images without identities. Images 2p and 2p + 1 are pair p.
Each image is an identity of its own, since the file does not say who is on it: the keys are '<pair, five
digits>-left/0' and '<pair, five digits>-right/0'. An image of several pairs is stored several times. pairs.csv divides
the pairs into ten folds of consecutive pairs, as InsightFace's evaluation does.
"""

import hashlib
from pathlib import Path

import numpy as np

from cface_basicsr.data.archives.recordio import RecordIOSource
from cface_basicsr.data.archives.verification_bin import read_verification_bin
from cface_basicsr.data.layouts.source import ArchivePhotos, Listing, Source
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.named_pairs import Pair

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


def list_recordio(path: str | Path) -> Listing:
    """The images of a set.

    The digest covers the size of the .rec, which may be 40 GB, and the content of .idx, property and .lst.

    Args:
        path: the folder or its .rec file.

    Raises:
        UserError: a file is missing, truncated, or does not fit the others.
    """
    records = RecordIOSource(path)
    rec = records.file.path
    names = records.original_names() or [f'{rec.name}#{number}' for number in records.numbers.tolist()]
    rows = zip(records.labels.tolist(), records.numbers.tolist(), records.offsets.tolist(), names, strict=True)
    sources = sorted(Source(f'{label:07d}/{number:08d}', name, (offset, label)) for label, number, offset, name in rows)
    people = len(set(records.labels.tolist()))
    classes = f', property declares {records.classes}' if records.classes is not None else ''
    size = f' Images of {records.size[0]}x{records.size[1]} (height x width) by property.' if records.size else ''
    return Listing(
        ArchivePhotos(records.file.image), sources, digest=_digest(rec), facts={'images_in': str(rec.absolute())},
        notes=[f"{len(sources)} images of {people} people in '{rec}'{classes}.{size}", *records.notes])


def _digest(rec: Path) -> str:
    digest = hashlib.sha256(b'%d' % rec.stat().st_size)
    parts = {'idx': rec.with_suffix('.idx'), 'property': rec.with_name('property'), 'lst': rec.with_suffix('.lst')}
    for name, path in parts.items():
        if path.is_file():
            digest.update(f'\n{name} {file_hash(path, 64)}'.encode())
    return digest.hexdigest()
