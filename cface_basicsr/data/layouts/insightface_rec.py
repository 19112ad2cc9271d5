"""InsightFace's RecordIO sets (train.rec, train.idx, property): <label, seven digits>/<record number, eight digits>."""

import hashlib
from pathlib import Path

from cface_basicsr.data.archives.recordio import RecordIOSource
from cface_basicsr.data.layouts.source import ArchivePhotos, Listing, Source
from cface_basicsr.files.network_file import file_hash


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
