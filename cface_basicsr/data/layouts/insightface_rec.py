"""InsightFace's RecordIO sets (train.rec, train.idx, property): <label, seven digits>/<record number, eight digits>."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cface_basicsr.data.archives.record_file import RecordFile
from cface_basicsr.data.archives.recordio import RecordIOSource
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.layouts.source import Listing, Source
from cface_basicsr.errors import UserError
from cface_basicsr.files.network_file import file_hash


@dataclass(frozen=True)
class RecordPhotos:
    """The images of a .rec file; a source's place is (offset, label)."""

    file: RecordFile

    def read(self, source: Source) -> bytes:
        """The encoded image, as it was stored."""
        try:
            return self.file.image(*source.place)
        except UserError as error:
            raise Rejected(str(error).replace('\n', ' ')) from error


def list_recordio(path: str | Path) -> Listing:
    """The images of a set.

    The digest is that of the .rec's size and of the whole .idx, property and .lst: the .rec itself may be 40 GB.

    Args:
        path: the folder or its .rec file.

    Raises:
        UserError: a file is missing, cut off, or does not fit the others.
    """
    records = RecordIOSource(path)
    rec = records.file.path
    names = records.original_names() or [f'{rec.name}#{number}' for number in records.numbers.tolist()]
    rows = zip(records.labels.tolist(), records.numbers.tolist(), records.offsets.tolist(), names, strict=True)
    sources = sorted(Source(f'{label:07d}/{number:08d}', name, (offset, label)) for label, number, offset, name in rows)
    people = len({source.place[1] for source in sources})
    classes = f', property announces {records.classes}' if records.classes is not None else ''
    size = f' Images of {records.size[0]}x{records.size[1]} (height x width) by property.' if records.size else ''
    return Listing(
        RecordPhotos(records.file), sources, digest=_digest(rec), facts={'images_in': str(rec.absolute())},
        notes=[f"{len(sources)} images of {people} people in '{rec}'{classes}.{size}", *records.notes])


def _beside(rec: Path) -> dict[str, Path]:
    return {'idx': rec.with_suffix('.idx'), 'property': rec.with_name('property'), 'lst': rec.with_suffix('.lst')}


def _digest(rec: Path) -> str:
    digest = hashlib.sha256(b'%d' % rec.stat().st_size)
    for name, path in _beside(rec).items():
        if path.is_file():
            digest.update(f'\n{name} {file_hash(path, 64)}'.encode())
    return digest.hexdigest()
