"""InsightFace's face sets in RecordIO: train.rec, train.idx, property, and sometimes train.lst.

Record 0 is a header without an image; its two labels are the range of numbers of the identity records, and the images
are 1 .. first identity - 1. An identity record has no image either; its two labels are the range of image numbers of
one identity. The first label of an image is its identity. (InsightFace's face2rec2.py writes such sets, its
image_iter.py reads them.)

Other packers write for arcface_torch/dataset.py, which needs no identity records and reads only the header's first
label, the number of images + 1: the header's other labels may be anything (the number of people, often), the first one
may be the number of images, and there may be a dummy picture with them. Sets without record 0, or with an image of the
set in it (MXNet's im2rec.py), hold nothing but images.

The text files next to a .rec are .idx (record number, offset), property (people, height, width) and .lst (paths).
"""

import re
import warnings
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.record_file import LARGEST_NUMBER, RecordFile, RecordHeader
from cface_basicsr.errors import UserError
from cface_basicsr.files.text_file import read_whole


def read_idx(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(R,) record numbers, ascending, and (R,) offsets into the .rec in bytes.

    Raises:
        UserError: the lines are not two whole numbers from 0, or a number or an offset occurs twice.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about an empty file, for which there is a better message below
            table = np.loadtxt(path, np.int64, delimiter='\t', comments=None, encoding='latin-1', ndmin=2)
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(f"'{path}': expected a record number, a tab and an offset on each line; {error}") from error
    if table.shape[0] == 0 or table.shape[1] != 2 or table.min() < 0:
        raise UserError(f"'{path}': expected a record number, a tab and an offset on each line, whole numbers from 0; "
                        f'got {len(table)} lines of {table.shape[1]} numbers, the smallest {table.min(initial=0)}.')
    numbers, offsets = table[np.argsort(table[:, 0], kind='stable')].T
    for kind, values in (('number', numbers), ('offset', np.sort(offsets))):
        if (twice := np.flatnonzero(np.diff(values) == 0)).size:
            raise UserError(f"'{path}' lists {kind} {values[twice[0]]} twice.")
    return np.ascontiguousarray(numbers), np.ascontiguousarray(offsets)


def read_property(path: Path) -> tuple[int, int, int]:
    """(people, height, width) from the first line; other tools may add lines after it.

    Raises:
        UserError: the first line has another form.
    """
    first = read_whole(path, '', most=1 << 20)[:1000].decode('latin-1').partition('\n')[0].strip()
    match = re.fullmatch(r'([0-9]{1,9}) *, *([0-9]{1,9}) *, *([0-9]{1,9})', first)
    if not match:
        raise UserError(f"'{path}': expected 'people,height,width', got '{first[:60]}'. Without it they are counted.")
    people, height, width = map(int, match.groups())
    return people, height, width


_OTHER_SET = 'It belongs to another set. Remove it to have the images named by their record numbers.'


class _Line(NamedTuple):
    """A line of a .lst: the number of the record (None if the order tells it), its label and path."""

    number: int | None
    label: float
    path: str


def original_names(path: Path, numbers: NDArray[np.int64], labels: NDArray[np.int64]) -> list[str]:
    """The paths in a .lst, one for each image of a set.

    InsightFace's lines are 'aligned, path, label, …' in the order of the images, MXNet's 'number, label(s), path' in
    any order; both with tabs.

    Args:
        path: of the .lst.
        numbers: (N,) record numbers of the images.
        labels: (N,) their labels.

    Raises:
        UserError: the .lst has other images, or other labels for them.
    """
    lines = list(_lines(path))
    if lines and lines[0].number is not None:
        by_number = {line.number: line for line in lines}
        lines = [by_number[number] for number in numbers.tolist() if number in by_number]
    if len(lines) != len(numbers):
        raise UserError(f"'{path}' fits {len(lines)} of the set's images, expected {len(numbers)}.\n{_OTHER_SET}")
    differ = np.flatnonzero(labels != np.array([line.label for line in lines]))
    if differ.size:
        line, row = lines[differ[0]], differ[0]
        raise UserError(f"'{path}' gives '{line.path}' the label {line.label:g}, but record {numbers[row]} has "
                        f'{labels[row]}.\n{_OTHER_SET}')
    return [line.path for line in lines]


def _lines(path: Path) -> Iterator[_Line]:
    with open(path, encoding='utf-8', errors='surrogateescape', newline='\n') as file:
        for row, text in enumerate(file, 1):
            fields = text.rstrip('\r\n').split('\t')
            try:
                if text.strip() and (line := _line(fields)):
                    yield line
            except (ValueError, IndexError) as error:
                raise UserError(f"'{path}', line {row}: expected 'aligned, path, label' (InsightFace) or 'number, "
                                f"label, path' (MXNet), separated by tabs; got '{text.strip()[:80]}'.") from error


def _line(fields: list[str]) -> _Line | None:
    """None for a photograph that InsightFace's packer leaves out, because it is not aligned and has no landmarks."""
    try:
        label = float(fields[1])
    except ValueError:
        aligned, path, label = int(fields[0]), fields[1], float(fields[2])
        left_out = not aligned and len(fields) < 17  # 3 fields, 4 of a box, 10 of landmarks
        return None if left_out else _Line(None, label, path)
    return _Line(int(fields[0]), label, fields[-1])


class RecordIOSource:
    """The images and labels of one set; nothing is decoded.

    Reads the .idx, and two records per identity of the .rec; if no records list the identities, the header of every
    record; without an .idx, the whole .rec from record to record.

    Attributes:
        file: the .rec. It is cheap to pickle: other processes need this and an offset, not the whole listing.
        numbers: (N,) int64 record number of each image, ascending.
        offsets: (N,) int64 offset of its record in the .rec, in bytes.
        labels: (N,) int64 identity, from 0, as in the file.
        classes: number of identities that `property` declares; None without that file.
        size: (height, width) of the images in pixels by `property`; None without that file.
        notes: one sentence about each missing file, and what was done instead.
    """

    def __init__(self, path: str | Path) -> None:
        """
        Args:
            path: the folder, or its .rec file.

        Raises:
            UserError: a file is missing, truncated, or does not fit the others.
        """
        self.file = RecordFile(_rec_of(Path(path)))
        self.notes: tuple[str, ...] = ()
        self.numbers, self.offsets, self.labels, notes = _images(self.file, self._records())
        self.notes += notes
        self.classes, self.size = self._property()

    def original_names(self) -> list[str] | None:
        """The path of each image in the .lst; None without a .lst next to the .rec.

        Raises:
            UserError: the .lst does not fit the images.
        """
        path = self.file.path.with_suffix('.lst')
        return original_names(path, self.numbers, self.labels) if path.is_file() else None

    def _records(self) -> '_Records':
        path = self.file.path.with_suffix('.idx')
        if path.is_file():
            records = _Records(*read_idx(path))
            _check_ends(self.file, path, records)
            return records
        self.notes += (f"'{path.name}' is missing: read '{self.file.path.name}' from record to record instead.",)
        return _scan(self.file)

    def _property(self) -> tuple[int | None, tuple[int, int] | None]:
        path = self.file.path.with_name('property')
        if not path.is_file():
            self.notes += (f"'property' is missing: {len(np.unique(self.labels))} people by the labels.",)
            return None, None
        classes, height, width = read_property(path)
        if self.labels.max() >= classes:
            row = self.labels.argmax()
            raise UserError(f"'{path}' declares {classes} people, but record {self.numbers[row]} of "
                            f"'{self.file.path.name}' has label {self.labels[row]}, expected 0 to {classes - 1}.\n"
                            'One of them belongs to another set; without property the people are counted.')
        return classes, (height, width)


class _Records(NamedTuple):
    """Where the records are: (R,) int64 numbers, strictly ascending, and (R,) int64 offsets."""

    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def between(self, first: int, end: int) -> '_Records':
        """The records with the numbers first .. end - 1."""
        rows = slice(*np.searchsorted(self.numbers, (first, end)))
        return _Records(self.numbers[rows], self.offsets[rows])


class _Images(NamedTuple):
    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def _rec_of(path: Path) -> Path:
    """The .rec file that a path means: itself, or the one in a folder."""
    if path.is_file() and path.suffix == '.rec':
        return path
    found = sorted(path.glob('*.rec')) if path.is_dir() else []
    if path / 'train.rec' in found:
        return path / 'train.rec'
    if len(found) != 1:
        there = f'{len(found)} .rec files, none of them train.rec; name one' if found else 'no .rec file'
        raise UserError(f"'{path}': expected a folder with train.rec, train.idx and property, or a .rec file; "
                        f'found {there if path.is_dir() else "neither"}.')
    return found[0]


def _check_ends(file: RecordFile, idx: Path, records: _Records) -> None:
    """Check that the last record of the .idx is the last of the .rec, so that a truncated file is refused at once."""
    last = records.offsets.argmax()
    number, offset = records.numbers[last], int(records.offsets[last])
    if offset >= file.size:
        raise UserError(f"'{idx.name}' lists record {number} at byte {offset}, but '{file.path}' has only {file.size} "
                        'bytes.\nThe .rec is truncated (copy it again), or the .idx belongs to another set.')
    end = file.end(offset)
    if end != file.size:
        raise UserError(f"'{idx}' ends with record {number}, which ends at byte {end}, but '{file.path.name}' has "
                        f'{file.size} bytes.\nThe .idx is truncated or of another set: copy it again, or remove it.')


def _scan(file: RecordFile) -> _Records:
    """The records of a .rec without an .idx.

    The ids are the numbers of the records if they are 0 .. R-1 in any order, or if there are identity records, which
    name images by number. Otherwise the order in the file counts, after the header if a record shows that it is it.
    """
    offsets, ids, marked, offset = array('q'), array('q'), array('q'), 0
    while offset < file.size:
        header = file.header(offset)
        if header.flag and not header.has_image:
            marked.append(len(ids))
        offsets.append(offset)
        ids.append(min(header.id, (1 << 63) - 1))
        offset = file.end(offset)
    if not ids:
        raise UserError(f"'{file.path}' is empty.")
    numbers = np.arange(len(ids))
    if len(marked) > 1 or np.array_equal(np.sort(ids), numbers):
        numbers = np.array(ids, np.int64)
    elif marked:
        numbers = np.insert(numbers[1:], marked[0], 0)
    order = np.argsort(numbers, kind='stable')
    records = _Records(numbers[order], np.array(offsets, np.int64)[order])
    if (twice := np.flatnonzero(np.diff(records.numbers) == 0)).size:
        raise UserError(f"'{file.path}' has two records with the number {records.numbers[twice[0]]}; its .idx is "
                        'needed to tell them apart.')
    return records


def _images(file: RecordFile, records: _Records) -> _Images:
    """The records that are images, with the label of each."""
    if records.numbers[0] != 0:
        return _Images(*records, _own_labels(file, records))
    header, others = file.header(int(records.offsets[0])), _Records(*(values[1:] for values in records))
    if header.has_image and not _is_header(file, header, others):
        return _Images(*records, _own_labels(file, records))
    name = file.path.name
    notes = (f"record 0 of '{name}' is a header: its picture is left out.",) if header.has_image else ()
    if records.numbers[-1] > LARGEST_NUMBER:
        return _records_with_images(file, others, notes)
    images, identities, found = _counted(file, header, others)
    labels = _labels_by_identity(file, images, identities) if len(identities.numbers) else None
    if labels is None:
        labels = _own_labels(file, images)
        found += (f"the identity records of '{name}' do not cover each image once: read the label of each image."
                  if len(identities.numbers) else f"'{name}' has no identity records: read the label of each image.",)
    return _Images(*images, labels, notes + found)


def _is_header(file: RecordFile, zero: RecordHeader, others: _Records) -> bool:
    """Whether record 0, which has a picture, is a header with a dummy, and not an image of the set.

    InsightFace takes it for a header if it has a list of labels. Here it must also differ from the images, which have
    single labels, or count them, as the labels of people, numbered without gaps, do not.
    """
    if not zero.flag or not len(others.numbers):
        return False
    count, first = len(others.numbers), zero.labels[0]
    if zero.flag != file.header(int(others.offsets[0])).flag or first == np.float32(count + 1):
        return True
    if zero.flag == 2 and first < zero.labels[1] == count + 1:  # as many images and identity records
        return not any(header.has_image for _, header in _headers(file, others.between(int(first), int(first) + 1)))
    return first == count and len(np.unique(_own_labels(file, others))) < count


def _counted(file: RecordFile, header: RecordHeader, others: _Records) -> tuple[_Records, _Records, tuple[str, ...]]:
    """The images and the identity records of a set, as its header counts them, and a note.

    Raises:
        UserError: there are fewer or more of them than the header says.
    """
    if not len(others.numbers):
        raise UserError(f"'{file.path}' holds no images.")
    if not header.flag:
        return others, others.between(0, 0), (f"record 0 of '{file.path.name}' is empty: it is left out.",)
    first = header.whole_label(0, file.path, 0)
    end = int(header.labels[1]) if header.flag == 2 and first < header.labels[1] <= LARGEST_NUMBER else 0
    images, rest = others.between(1, first), others.between(first, LARGEST_NUMBER + 1)
    listed = 0 < len(rest.numbers) == end - first and rest.numbers[-1] == end - 1
    beyond = 0 if listed and end - first > 1 else sum(record.has_image for _, record in _headers(file, rest))
    if len(images.numbers) == first - 1:
        if beyond and others.numbers[-1] == first:
            return others, others.between(0, 0), (
                f"record 0 of '{file.path.name}' gives {first}, expected {first + 1}: the images are taken as is.",)
        unlisted = not rest.numbers.size and file.path.with_suffix('.idx').is_file()  # which has shown the .rec's end
        if images.numbers.size and not beyond and (listed or not end or unlisted):
            return images, rest, ()
    claimed = f'the images are 1 to {first - 1}' if first > 1 else 'there are no images'
    there = f'{len(images.numbers) + beyond} images'
    if end and not beyond:
        claimed, there = f'{claimed} and the people {first} to {end - 1}', f'{there} and {len(rest.numbers)} people'
    raise UserError(f"'{file.path}': according to record 0, {claimed}, but there are {there}.\nThe .rec or its .idx is "
                    'truncated, or the .idx belongs to another set, or record 0 was not written again after a change.')


def _range_of(file: RecordFile, number: int, header: RecordHeader) -> tuple[int, int]:
    """The two labels of an identity record."""
    if header.has_image or header.flag != 2:
        raise UserError(f"'{file.path}': record {number} has {header.flag} labels and "
                        f'{"an" if header.has_image else "no"} image, expected the two labels of a range and no image.')
    return header.whole_label(0, file.path, number), header.whole_label(1, file.path, number)


def _labels_by_identity(file: RecordFile, images: _Records, identities: _Records) -> NDArray[np.int64] | None:
    """(N,) label of each image, from the identity records and the first image of each identity.

    None if their ranges do not cover each image exactly once: then InsightFace's own readers disagree, and the label
    of each image is the one to trust.
    """
    ranges = np.array([_range_of(file, number, header) for number, header in _headers(file, identities)], np.int64)
    ranges = ranges[np.argsort(ranges[:, 0], kind='stable')]
    ranges = ranges[ranges[:, 0] != ranges[:, 1]]
    begins, ends = ranges.T
    if not (np.array_equal(begins[1:], ends[:-1]) and (begins < ends).all()):
        return None
    if not len(ranges) or begins[0] != 1 or ends[-1] != len(images.numbers) + 1:
        return None
    firsts = _Records(images.numbers[begins - 1], images.offsets[begins - 1])
    return np.repeat(_own_labels(file, firsts), ends - begins)


def _own_labels(file: RecordFile, records: _Records) -> NDArray[np.int64]:
    """(R,) the first label of each record."""
    labels = (header.whole_label(0, file.path, number) for number, header in _headers(file, records))
    return np.fromiter(labels, np.int64, len(records.numbers))


def _records_with_images(file: RecordFile, records: _Records, notes: tuple[str, ...]) -> _Images:
    """Every record that has an image, for sets too large for the float32 numbers of their identity records."""
    rows, labels = array('q'), array('q')
    for row, (number, header) in enumerate(_headers(file, records)):
        if header.has_image:
            rows.append(row)
            labels.append(header.whole_label(0, file.path, number))
    if not rows:
        raise UserError(f"'{file.path}' holds no images.")
    return _Images(records.numbers[rows], records.offsets[rows], np.array(labels, np.int64), (
        *notes, f"'{file.path.name}' has record numbers above {LARGEST_NUMBER}, which its identity records cannot "
        'name: read the label of each image.'))


def _headers(file: RecordFile, records: _Records) -> Iterator[tuple[int, RecordHeader]]:
    """(number, header) of each record."""
    for number, offset in zip(*records, strict=True):  # arrays, since lists of all records would be large
        yield int(number), file.header(int(offset))
