"""InsightFace's face sets in RecordIO: train.rec, train.idx, property, and train.lst where there is one.

Record 0 is a header without an image; its two labels say from which number to which the identity records go, and the
images are 1 .. first identity - 1. An identity record has no image either; its two labels are the range of image
numbers of one person. The first label of an image is the person. Sets without record 0, or with an image in it, hold
nothing but images. (InsightFace's face2rec2.py writes them so, its image_iter.py and arcface_torch/dataset.py read
them.)
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.record_file import LARGEST_NUMBER, RecordFile, RecordHeader
from cface_basicsr.data.archives.record_list import original_names, read_idx, read_property
from cface_basicsr.errors import UserError

_Progress = Callable[[int, int], None]
"""Called with (records or bytes looked at, in all)."""
_EVERY = 10000


class RecordIOSource:
    """The images and labels of one set; nothing is decoded.

    Reads .idx, and of the .rec two records a person; every record's header where none lists the people; and the
    .rec from record to record where there is no .idx.

    Attributes:
        file: the .rec. It is light: other processes want it and an offset, not this whole listing.
        numbers: (N,) int64 record number of each image, ascending.
        offsets: (N,) int64 where its record begins in the .rec.
        labels: (N,) int64 person, from 0, as in the file.
        classes: number of people that `property` announces; None without one.
        size: (height, width) of an image by `property`; None without one.
        notes: what was missing and what was done instead, a sentence each.
    """

    def __init__(self, path: str | Path, *, progress: _Progress = lambda done, total: None) -> None:
        """
        Args:
            path: the folder, or its .rec file.
            progress: called now and then where every record must be looked at.

        Raises:
            UserError: a file is missing, cut off, or does not fit the others.
        """
        self.file = RecordFile(_rec_of(Path(path)))
        self.notes: tuple[str, ...] = ()
        records = self._records(progress)
        self.numbers, self.offsets, self.labels, notes = _images(self.file, records, progress)
        self.notes += notes
        self.classes, self.size = self._property()

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> bytes:
        """The encoded image of a row, as it was stored (JPEG or PNG); b'' where the record holds none.

        Raises:
            UserError: its record is damaged, or has another label than the one listed.
        """
        return self.file.image(int(self.offsets[row]), int(self.labels[row]))

    def original_names(self) -> list[str] | None:
        """The path that the .lst gives for each row; None where there is no .lst beside the .rec.

        Raises:
            UserError: the .lst does not fit the images.
        """
        path = self.file.path.with_suffix('.lst')
        return original_names(path, self.numbers, self.labels) if path.is_file() else None

    def _records(self, progress: _Progress) -> '_Records':
        path = self.file.path.with_suffix('.idx')
        if path.is_file():
            records = _Records(*read_idx(path))
            _check_ends(self.file, path, records)
            return records
        self.notes += (f"'{path.name}' is missing: read '{self.file.path.name}' from record to record instead.",)
        return _scan(self.file, progress)

    def _property(self) -> tuple[int | None, tuple[int, int] | None]:
        path = self.file.path.with_name('property')
        if not path.is_file():
            self.notes += (f"'property' is missing: {len(np.unique(self.labels))} people by the labels.",)
            return None, None
        classes, height, width = read_property(path)
        if self.labels.max() >= classes:
            row = self.labels.argmax()
            raise UserError(f"'{path}' announces {classes} people, record {self.numbers[row]} of "
                            f"'{self.file.path.name}' has label {self.labels[row]}, expected 0 to {classes - 1}.\n"
                            'One of them belongs to another set; without property the people are counted.')
        return classes, (height, width)


class _Records(NamedTuple):
    """Where the records begin: (R,) int64 numbers, ascending and each once, and (R,) int64 offsets."""

    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def between(self, first: int, end: int) -> '_Records':
        """The records numbered first .. end - 1."""
        rows = slice(*np.searchsorted(self.numbers, (first, end)))
        return _Records(self.numbers[rows], self.offsets[rows])


class _Images(NamedTuple):
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def _rec_of(path: Path) -> Path:
    """The .rec file that is meant."""
    if path.is_file() and path.suffix == '.rec':
        return path
    found = sorted(path.glob('*.rec')) if path.is_dir() else []
    if path / 'train.rec' in found:
        return path / 'train.rec'
    if len(found) != 1:
        came = f'{len(found)} .rec files, none of them train.rec; name one' if found else 'no .rec file'
        raise UserError(f"'{path}': expected a folder with train.rec, train.idx and property, or a .rec file; "
                        f'came {came if path.is_dir() else "no such thing"}.')
    return found[0]


def _check_ends(file: RecordFile, idx: Path, records: _Records) -> None:
    """The last record of the .idx is the last of the .rec; tells a cut file before any work."""
    last = records.offsets.argmax()
    number, offset = records.numbers[last], int(records.offsets[last])
    if offset >= file.size:
        raise UserError(f"'{idx.name}' lists record {number} at byte {offset}, '{file.path}' has {file.size} bytes.\n"
                        f'The .rec is cut off (copy it again), or the .idx belongs to another.')
    end = file.end(offset)
    if end != file.size:
        raise UserError(f"'{idx}' ends with record {number}, which ends at byte {end}; '{file.path.name}' has "
                        f'{file.size} bytes.\nThe .idx is cut off or belongs to another: copy it again, or remove it, '
                        'and the .rec is read from record to record.')


def _scan(file: RecordFile, progress: _Progress) -> _Records:
    """The records of a .rec without .idx.

    A set with a header record numbers its records by their ids (they are written in any order); in one without, the
    ids may be anything, and the order in the file counts.
    """
    offsets, ids, offset, listed = array('q'), array('q'), 0, False
    while offset < file.size:
        header = file.header(offset)
        listed = listed or (header.id == 0 and header.flag == 2 and not header.has_image)
        offsets.append(offset)
        ids.append(min(header.id, (1 << 63) - 1))
        offset = file.end(offset)
        if len(ids) % _EVERY == 0:
            progress(offset, file.size)
    if not ids:
        raise UserError(f"'{file.path}' is empty.")
    numbers = np.array(ids, np.int64) if listed else np.arange(len(ids))
    order = np.argsort(numbers, kind='stable')
    records = _Records(numbers[order], np.array(offsets, np.int64)[order])
    if (twice := np.flatnonzero(np.diff(records.numbers) == 0)).size:
        raise UserError(f"'{file.path}' has two records of number {records.numbers[twice[0]]}; its .idx is needed to "
                        'tell them apart.')
    return records


def _images(file: RecordFile, records: _Records, progress: _Progress) -> _Images:
    """The records that are images, with the label of each."""
    header = file.header(int(records.offsets[0])) if records.numbers[0] == 0 else None
    if header is None or header.has_image:
        return _Images(*records, _own_labels(file, records, progress))
    if records.numbers[-1] > LARGEST_NUMBER:
        return _images_by_look(file, records, progress)
    first, end = _range_of(file, 0, header)
    images, people = records.between(1, first), records.between(first, end)
    if len(images.numbers) != first - 1 or len(people.numbers) != end - first or not 1 < first < end:
        raise UserError(f"'{file.path}': by record 0 the images are 1 to {first - 1} and the people {first} to "
                        f'{end - 1}; there are {len(images.numbers)} of the one and {len(people.numbers)} of the other.'
                        '\nThe .rec or its .idx is cut off, or the .idx belongs to another.')
    labels = _labels_by_person(file, images, people)
    if labels is None:
        return _Images(*images, _own_labels(file, images, progress), (
            f"the identity records of '{file.path.name}' do not share out its images: read the label of each image.",))
    return _Images(*images, labels)


def _range_of(file: RecordFile, number: int, header: RecordHeader) -> tuple[int, int]:
    """The two labels of a header or identity record."""
    if header.has_image or header.flag != 2:
        raise UserError(f"'{file.path}': record {number} has {header.flag} labels and "
                        f'{"an" if header.has_image else "no"} image, expected the two labels of a range and no image.')
    return header.whole_label(0, file.path, number), header.whole_label(1, file.path, number)


def _labels_by_person(file: RecordFile, images: _Records, people: _Records) -> NDArray[np.int64] | None:
    """(N,) label of each image, from the identity records and the first image of each person.

    None where these do not share out the images among them: InsightFace's readers then disagree, and the label that
    each image carries is the one to go by.
    """
    ranges = np.array([_range_of(file, number, header) for number, header in _headers(file, people)], np.int64)
    ranges = ranges[np.argsort(ranges[:, 0], kind='stable')]
    ranges = ranges[ranges[:, 0] != ranges[:, 1]]
    begins, ends = ranges.T
    if not (np.array_equal(begins[1:], ends[:-1]) and (begins < ends).all()):
        return None
    if not len(ranges) or begins[0] != 1 or ends[-1] != len(images.numbers) + 1:
        return None
    firsts = _Records(images.numbers[begins - 1], images.offsets[begins - 1])
    return np.repeat(_own_labels(file, firsts), ends - begins)


def _own_labels(file: RecordFile, records: _Records, progress: _Progress = lambda done, total: None
                ) -> NDArray[np.int64]:
    """(R,) the first label of each record."""
    labels = np.empty(len(records.numbers), np.int64)
    for row, (number, header) in enumerate(_headers(file, records, progress)):
        labels[row] = header.whole_label(0, file.path, number)
    return labels


def _images_by_look(file: RecordFile, records: _Records, progress: _Progress) -> _Images:
    """The images of a set too large for the float32 numbers of its identity records: every record that has one."""
    rows, labels = array('q'), array('q')
    for row, (number, header) in enumerate(_headers(file, records, progress)):
        if header.has_image:
            rows.append(row)
            labels.append(header.whole_label(0, file.path, number))
    if not rows:
        raise UserError(f"'{file.path}' holds no image.")
    return _Images(records.numbers[rows], records.offsets[rows], np.array(labels, np.int64), (
        f"'{file.path.name}' has record numbers above {LARGEST_NUMBER}, which its identity records cannot name: read "
        'the label of each image.',))


def _headers(file: RecordFile, records: _Records, progress: _Progress = lambda done, total: None
             ) -> Iterator[tuple[int, RecordHeader]]:
    """(number, header) of each record."""
    total = len(records.numbers)
    for start in range(0, total, _EVERY):
        part = slice(start, start + _EVERY)
        for number, offset in zip(records.numbers[part].tolist(), records.offsets[part].tolist(), strict=True):
            yield number, file.header(offset)
        progress(min(start + _EVERY, total), total)
