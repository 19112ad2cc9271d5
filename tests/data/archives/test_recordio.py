"""InsightFace's RecordIO sets, written here byte by byte."""

import multiprocessing
import os
import pickle
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cface_basicsr.data.archives.byte_file import ByteFile
from cface_basicsr.data.archives.record_file import RecordFile
from cface_basicsr.data.archives.recordio import RecordIOSource
from cface_basicsr.data.images.face_crop import decode_photo
from cface_basicsr.errors import UserError
from tests.data.archives.record_writer import (
    MAGIC,
    image_record,
    insightface_payloads,
    record,
    write_records,
    write_set,
)

PEOPLE = [(0, [b'anna 1', b'anna two']), (1, [b'bo']), (2, [b'cy 1', MAGIC + b'cy' + MAGIC, b'cy 3'])]
IMAGES = [image for _, images in PEOPLE for image in images]
LABELS = [0, 0, 1, 2, 2, 2]

words = st.one_of(st.just(MAGIC), st.binary(min_size=1, max_size=9))
payloads = st.lists(words, max_size=12).map(b''.join)


def images_of(source: RecordIOSource) -> list[bytes]:
    return [image_of(source, row) for row in range(len(source.labels))]


def image_of(source: RecordIOSource, row: int) -> bytes:
    return source.file.image(int(source.offsets[row]), int(source.labels[row]))


@pytest.fixture
def face_set(tmp_path: Path) -> Path:
    return write_set(tmp_path / 'set', PEOPLE)


def test_a_split_record_has_the_magic_number_put_back(tmp_path: Path) -> None:
    header = bytes.fromhex('00000000 00004040 0700000000000000 0000000000000000')  # flag 0, label 3.0, id 7, id2 0
    path = tmp_path / 'x.rec'
    path.write_bytes(bytes.fromhex('0a23d7ce 1c000020') + header + b'face'         # kind 1, 28 bytes
                     + bytes.fromhex('0a23d7ce 00000040')                          # kind 2, nothing
                     + bytes.fromhex('0a23d7ce 03000060') + b'end\0')              # kind 3, 3 bytes and one of padding
    file = RecordFile(path)
    assert file.image(0, label=3) == b'face' + MAGIC + MAGIC + b'end'
    assert file.header(0) == (0, (3.0,), 7, True)
    assert file.end(0) == path.stat().st_size == 56


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(payloads, st.lists(st.integers(0, 1 << 24), min_size=1, max_size=20)), min_size=1,
                max_size=5))
def test_any_payload_comes_back_whatever_its_length_and_wherever_it_is_split(
        tmp_path: Path, images: list[tuple[bytes, list[int]]]) -> None:
    path = tmp_path / 'x.rec'
    contents = [record(image_record([float(label) for label in labels], 9, image)) for image, labels in images]
    path.write_bytes(b''.join(contents))
    file, offset = RecordFile(path), 0
    for (image, labels), content in zip(images, contents, strict=True):
        assert file.image(offset) == image
        assert file.header(offset) == (len(labels), tuple(labels), 9, bool(image))
        assert file.end(offset) == offset + len(content)
        offset += len(content)


@pytest.mark.parametrize('label', [np.frombuffer(MAGIC, '<f4').item(), 1.0])
@pytest.mark.parametrize('length', [16384 - 32 - 1, 16384 - 32, 16384 - 32 + 1, 100_000])
def test_images_longer_than_the_first_read_and_headers_that_hold_the_magic_number(
        tmp_path: Path, length: int, label: float) -> None:
    path, image = tmp_path / 'x.rec', np.random.default_rng(length).bytes(length)
    path.write_bytes(record(image_record(label, int.from_bytes(MAGIC, 'little'), image)))
    assert RecordFile(path).image(0) == image
    assert RecordFile(path).header(0) == (0, (label,), int.from_bytes(MAGIC, 'little'), True)


def test_a_set_lists_its_images_and_people_without_header_and_identity_records(face_set: Path) -> None:
    source = RecordIOSource(face_set)
    assert source.numbers.tolist() == [1, 2, 3, 4, 5, 6]
    assert source.labels.tolist() == LABELS and source.labels.dtype == np.int64
    assert images_of(source) == IMAGES
    assert (source.classes, source.size, source.notes) == (3, (112, 112), ())
    assert RecordIOSource(face_set / 'train.rec').labels.tolist() == LABELS


def test_older_sets_without_a_header_record_hold_nothing_but_images(tmp_path: Path) -> None:
    images = [(number, image_record(label, number, b'%d' % number)) for number, label in enumerate([4.0, 4.0, 0.0])]
    source = RecordIOSource(write_records(tmp_path / 'from 0', images))
    assert source.labels.tolist() == [4, 4, 0] and images_of(source) == [b'0', b'1', b'2']
    source = RecordIOSource(write_records(tmp_path / 'from 1', images[1:]))
    assert source.numbers.tolist() == [1, 2] and images_of(source) == [b'1', b'2']


def test_an_image_in_record_0_is_an_image_even_with_several_labels(tmp_path: Path) -> None:
    images = [(number, image_record([number, 1.0], number, b'face')) for number in range(3)]
    assert RecordIOSource(write_records(tmp_path, images)).labels.tolist() == [0, 1, 2]


def test_labels_after_the_first_may_be_anything(tmp_path: Path) -> None:
    images = [(number, image_record([number, 0.5, -1.0], number, b'face')) for number in range(3)]
    assert RecordIOSource(write_records(tmp_path, images)).labels.tolist() == [0, 1, 2]


COUNT = len(IMAGES)
PICTURE = b'a black picture'
HEADERS = {
    'number + 1 and people': [COUNT + 1, 3], 'number twice': [COUNT, COUNT], 'number and people': [COUNT, 3],
    'number + 1 twice': [COUNT + 1, COUNT + 1], 'number + 1 only': [COUNT + 1], 'number only': [COUNT],
    'three labels': [COUNT + 1, 3, 0], 'four labels': [COUNT, 3, 112, 112], 'no number': [COUNT + 1, float('nan')],
    'range of identity records that are not there': [COUNT + 1, COUNT + 4],
    'range of identity records': [COUNT + 1, COUNT + 4],
}


@pytest.mark.parametrize('labels', ['single', 'list'])
@pytest.mark.parametrize('picture', [b'', PICTURE], ids=['empty', 'dummy picture'])
@pytest.mark.parametrize('written', ['first', 'last', 'without .idx', 'without .idx, last', 'without .idx and ids'])
@pytest.mark.parametrize('header', HEADERS)
def test_a_header_of_any_packer_gives_each_person_their_images_and_invents_none(
        tmp_path: Path, header: str, written: str, picture: bytes, labels: str) -> None:
    """As InsightFace reads them: images from 1 on, counted by the first label of record 0; people by own labels."""
    numbers = (lambda number: 0) if 'and ids' in written else (lambda number: number)
    payloads = [(number, image_record([label, 1.0] if labels == 'list' else label, numbers(number), image))
                for number, (label, image) in enumerate(zip(LABELS, IMAGES, strict=True), 1)]
    if header == 'range of identity records':
        payloads += [(COUNT + 1 + row, image_record(ends, numbers(COUNT + 1 + row), b''))
                     for row, ends in enumerate([[1, 3], [3, 4], [4, 7]])]
    payloads.insert(len(payloads) if 'last' in written else 0, (0, image_record(HEADERS[header], 0, picture)))
    idx = '.idx' not in written
    folder = write_records(tmp_path, payloads, '3,112,112', idx)
    if not idx and header == 'range of identity records that are not there':
        with pytest.raises(UserError, match='people 7 to 9, but there are 6 images and 0 people.\n.*truncated'):
            RecordIOSource(folder)
    elif header == 'range of identity records' and 'and ids' in written:
        with pytest.raises(UserError, match='two records with the number 0; its .idx is needed to tell them apart'):
            RecordIOSource(folder)
    else:
        source = RecordIOSource(folder)
        assert source.labels.tolist() == LABELS and images_of(source) == IMAGES
        assert source.numbers.tolist() == [1, 2, 3, 4, 5, 6]
        if picture:
            assert "record 0 of 'train.rec' is a header: its picture is left out." in source.notes


@pytest.mark.parametrize('labels', [[0, 0, 1, 2, 2, 2], [2, 1, 0, 2, 0, 2], [5, 0, 1, 2, 3, 4], [70, 0, 0, 8, 8, 9]])
@pytest.mark.parametrize('several', [True, False])
@pytest.mark.parametrize('idx', [True, False])
def test_an_image_in_record_0_as_im2rec_packs_it_is_no_header(
        tmp_path: Path, labels: list[int], several: bool, idx: bool) -> None:
    """im2rec numbers from 0, writes no header, and with --pack-label writes a list of labels for each image."""
    payloads = [(number, image_record([label, 0.5, 6.0] if several else label, number, image))
                for number, (label, image) in enumerate(zip(labels, IMAGES, strict=True))]
    source = RecordIOSource(write_records(tmp_path, payloads, idx=idx))
    assert source.labels.tolist() == labels and images_of(source) == IMAGES


def test_a_shuffled_set_of_im2rec_has_the_same_numbers_with_and_without_idx(tmp_path: Path) -> None:
    payloads = [(number, image_record(LABELS[number], number, IMAGES[number])) for number in (3, 0, 5, 2, 4, 1)]
    for idx in (True, False):
        source = RecordIOSource(write_records(tmp_path / f'{idx}', payloads, idx=idx))
        assert source.labels.tolist() == LABELS and images_of(source) == IMAGES


def test_an_empty_record_0_without_a_list_of_labels_counts_nothing(tmp_path: Path) -> None:
    images = [(number, image_record(number // 3, number, b'face')) for number in (1, 2, 5)]
    source = RecordIOSource(write_records(tmp_path, [(0, image_record(6.0, 0, b'')), *images]))
    assert (source.numbers.tolist(), source.labels.tolist()) == ([1, 2, 5], [0, 0, 1])
    assert source.notes[0] == "record 0 of 'train.rec' is empty: it is left out."


@pytest.mark.parametrize('picture', [b'', PICTURE])
@pytest.mark.parametrize(('header', 'message'), [
    ([COUNT + 3, 3], 'the images are 1 to 8, but there are 6 images'), ([3, 3], 'are 1 to 2, but there are 6 images'),
    ([0, 0], 'there are no images, but there are 6 images'), ([float('nan'), 3], 'record 0 has label nan, expected'),
    ([-1.0, 3], 'record 0 has label -1, expected one of 0 to'), ([1, 3, 0], 'there are no images, but there are 6'),
])
def test_a_header_that_counts_other_images_is_refused(
        tmp_path: Path, header: list[float], message: str, picture: bytes) -> None:
    images = [(number, image_record(label, number, b'face')) for number, label in enumerate(LABELS, 1)]
    folder = write_records(tmp_path, [(0, image_record(header, 0, picture)), *images])
    with pytest.raises(UserError, match=message):
        RecordIOSource(folder)


def test_a_header_without_any_images_is_refused(tmp_path: Path) -> None:
    for labels in (1.0, [1.0, 1.0], 0.0):
        with pytest.raises(UserError, match='holds no images'):
            RecordIOSource(write_records(tmp_path, [(0, image_record(labels, 0, b''))]))


def test_a_header_whose_image_is_missing_is_refused_if_there_are_no_identity_records(tmp_path: Path) -> None:
    payloads = [(0, image_record([COUNT + 1, 3], 0, b''))]
    payloads += [(number, image_record(0.0, number, b'face')) for number in (1, 2, 4, 5, 6)]
    with pytest.raises(UserError, match='images are 1 to 6, but there are 5 images.\n.*truncated'):
        RecordIOSource(write_records(tmp_path, payloads))


def test_records_may_be_in_any_order(tmp_path: Path) -> None:
    payloads = insightface_payloads(PEOPLE)
    shuffled = [payloads[row] for row in np.random.default_rng(1).permutation(len(payloads))]
    for idx in (True, False):
        source = RecordIOSource(write_records(tmp_path / f'{idx}', shuffled, idx=idx))
        assert source.labels.tolist() == LABELS and images_of(source) == IMAGES


def test_without_idx_the_rec_is_read_from_record_to_record(face_set: Path) -> None:
    listed = RecordIOSource(face_set)
    (face_set / 'train.idx').unlink()
    scanned = RecordIOSource(face_set)
    for name in ('numbers', 'offsets', 'labels'):
        assert np.array_equal(getattr(scanned, name), getattr(listed, name))
    assert scanned.notes == ("'train.idx' is missing: read 'train.rec' from record to record instead.",)


def test_without_idx_and_header_the_order_counts_and_ids_may_be_anything(tmp_path: Path) -> None:
    images = [(row, image_record(row, 7, b'face')) for row in range(4)]
    source = RecordIOSource(write_records(tmp_path, images, idx=False))
    assert source.numbers.tolist() == source.labels.tolist() == [0, 1, 2, 3]


def test_without_property_people_are_counted(face_set: Path) -> None:
    (face_set / 'property').unlink()
    source = RecordIOSource(face_set)
    assert (source.classes, source.size) == (None, None)
    assert source.notes == ("'property' is missing: 3 people by the labels.",)


def test_a_second_line_of_property_is_ignored(face_set: Path) -> None:
    (face_set / 'property').write_text('3,96,112\n6\n')
    assert RecordIOSource(face_set).size == (96, 112)


@pytest.mark.parametrize('text', ['', '3,112', 'a,b,c', '3,112,-112'])
def test_a_malformed_property_is_refused(face_set: Path, text: str) -> None:
    (face_set / 'property').write_text(text)
    with pytest.raises(UserError, match=f"expected 'people,height,width', got '{text}'"):
        RecordIOSource(face_set)


def test_a_property_of_another_set_is_refused(face_set: Path) -> None:
    (face_set / 'property').write_text('2,112,112')
    with pytest.raises(UserError, match="declares 2 people, but record 4 of 'train.rec' has label 2, expected 0 to 1"):
        RecordIOSource(face_set)


def test_with_identity_records_one_image_per_person_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_set(tmp_path, [(label, [b'%d' % label] * 30) for label in range(20)])
    reads, read = [], ByteFile.read
    monkeypatch.setattr(ByteFile, 'read', lambda *args: reads.append(args) or read(*args))
    assert RecordIOSource(folder).labels.tolist() == np.repeat(range(20), 30).tolist()
    assert len(reads) == 2 + 2 * 20  # the last record, record 0, and two per person


def test_ranges_that_do_not_cover_each_image_once_give_way_to_the_images_own_labels(tmp_path: Path) -> None:
    payloads = insightface_payloads(PEOPLE)
    payloads[-1] = (9, image_record([4, 6], 9, b''))  # image 6 belongs to nobody
    source = RecordIOSource(write_records(tmp_path, payloads, '3,112,112'))
    assert source.labels.tolist() == LABELS
    assert source.notes == ("the identity records of 'train.rec' do not cover each image once: read the label of each "
                            'image.',)


def test_people_without_images_are_skipped(tmp_path: Path) -> None:
    source = RecordIOSource(write_set(tmp_path, [(0, [b'a']), (1, []), (2, [b'c', b'd']), (3, [])]))
    assert source.labels.tolist() == [0, 2, 2]


def test_in_sets_too_large_for_float32_numbers_every_record_is_read(tmp_path: Path) -> None:
    first = (1 << 24) + 1  # float32 rounds it
    payloads = [(0, image_record([first, first + 2], 0, b''))]
    payloads += [(first - 2 + row, image_record([row, 1.0], 0, b'%d' % row)) for row in range(3)]
    payloads += [(first + 1, image_record([first - 2, first], 0, b''))]
    source = RecordIOSource(write_records(tmp_path, payloads, '3,112,112'))
    assert source.notes == ("'train.rec' has record numbers above 16777216, which its identity records cannot name: "
                            'read the label of each image.',)
    assert source.labels.tolist() == [0, 1, 2] and source.numbers.tolist() == [first - 2, first - 1, first]


def test_an_image_whose_label_is_not_the_listed_one_is_refused_when_read(tmp_path: Path) -> None:
    payloads = insightface_payloads(PEOPLE)
    payloads[4] = (5, image_record([0.0, 1.0], 5, b'anna among cy'))
    source = RecordIOSource(write_records(tmp_path, payloads))
    with pytest.raises(UserError, match=f'record at byte {source.offsets[4]} has label 0, expected 2'):
        image_of(source, 4)


@pytest.mark.parametrize('label', [1.5, -1.0, float('nan'), float('inf'), 2.0 ** 24 + 2, 3e38])
@pytest.mark.parametrize('several', [True, False])
def test_a_label_that_is_not_a_whole_number_is_refused(tmp_path: Path, label: float, several: bool) -> None:
    images = [(0, image_record(0.0, 0, b'a')), (1, image_record([label, 0.0] if several else label, 1, b'b'))]
    with pytest.raises(UserError, match=re.escape(f'record 1 has label {label:g}, expected one of 0 to 16777216')):
        RecordIOSource(write_records(tmp_path, images))


def test_a_wrong_magic_number_is_named_with_its_offset(face_set: Path) -> None:
    source = RecordIOSource(face_set)
    with open(face_set / 'train.rec', 'r+b') as file:
        file.seek(source.offsets[1])
        file.write(b'\x01\x02\x03\x04')
    with pytest.raises(UserError, match=f'no record at byte {source.offsets[1]}: expected the magic number 0xced7230a, '
                                        'got 0x04030201'):
        image_of(source, 1)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'train.rec').write_bytes(b'PK\3\4 a zip file, perhaps')
    with pytest.raises(UserError, match='no record at byte 0: expected the magic number 0xced7230a, got 0x04034b50'):
        RecordIOSource(tmp_path)


@pytest.mark.parametrize('idx', [True, False])
def test_a_rec_truncated_at_any_byte_is_refused(tmp_path: Path, idx: bool) -> None:
    payloads = insightface_payloads([(0, [b'anna']), (1, [MAGIC + b'bo', b'bo 2'])])
    rec = write_records(tmp_path, [payloads[3]] + payloads[:3] + payloads[4:], idx=idx) / 'train.rec'
    whole = rec.read_bytes()
    for length in range(len(whole)):
        rec.write_bytes(whole[:length])
        with pytest.raises(UserError, match='truncated|is empty'):
            RecordIOSource(tmp_path)


def test_a_truncated_rec_says_where_and_how_much_is_missing(face_set: Path) -> None:
    (face_set / 'train.idx').unlink()
    rec = face_set / 'train.rec'
    offset = len(record(image_record([0, 1.0], 1, IMAGES[0])))
    rec.write_bytes(rec.read_bytes()[:offset + 20])
    with pytest.raises(UserError, match=f'is truncated: the record at byte {offset} needs 48 bytes, but only 20 '
                                        'are there.\nCopy the file again.'):
        RecordIOSource(face_set)


def test_an_idx_truncated_at_any_byte_is_refused(face_set: Path) -> None:
    idx = face_set / 'train.idx'
    whole = idx.read_bytes()
    for length in range(len(whole) - 1):  # the last newline may be missing
        idx.write_bytes(whole[:length])
        with pytest.raises(UserError):
            RecordIOSource(face_set)


def test_the_idx_of_another_rec_is_refused(face_set: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / 'other', [(0, [b'a' * 100] * 3), (1, [b'b' * 50] * 3), (2, [b'c'])])
    (face_set / 'train.idx').write_bytes((other / 'train.idx').read_bytes())
    with pytest.raises(UserError, match="'train.idx' lists record 10 .*\n.*truncated .*, or the .idx belongs to"):
        RecordIOSource(face_set)
    (other / 'train.idx').write_text('0\t0\n')
    with pytest.raises(UserError, match='ends with record 0, which ends at byte 140, .*\n.*copy it again'):
        RecordIOSource(other)


def test_an_idx_that_lacks_images_is_refused(face_set: Path) -> None:
    idx = face_set / 'train.idx'
    idx.write_text(''.join(idx.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(UserError, match='images are 1 to 6 and the people 7 to 9, but there are 5 images and 3 people'):
        RecordIOSource(face_set)


@pytest.mark.parametrize('text', ['', '\n', '1\n', '1\t2\t3\n', '0\t0\n0\t48\n', '0\t0\n1\t0\n', '-1\t0\n', '1,2\n',
                                  '0\t99999999999999999999\n', 'a\tb\n', '\xff\xfe\n', '1\t2\n3\n'])
def test_a_malformed_idx_is_refused(face_set: Path, text: str) -> None:
    (face_set / 'train.idx').write_text(text, encoding='latin-1')
    with pytest.raises(UserError, match="train.idx'"):
        RecordIOSource(face_set)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(['train.rec', 'train.idx', 'property']), st.integers(0, 10_000), st.integers(1, 255),
       st.booleans())
def test_a_damaged_byte_never_gives_anything_but_a_user_error(
        tmp_path: Path, name: str, place: int, change: int, idx: bool) -> None:
    folder = write_set(tmp_path, PEOPLE)
    content = bytearray((folder / name).read_bytes())
    content[place % len(content)] ^= change
    (folder / name).write_bytes(content)
    if not idx:
        (folder / 'train.idx').unlink()
    try:
        images_of(RecordIOSource(folder))
    except UserError:
        pass


def test_a_flag_that_counts_more_labels_than_there_are_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x.rec'
    for flag, message in ((7, 'declares 7 labels, but has 9 bytes'), (1 << 30, 'declares 1073741824 labels')):
        path.write_bytes(record(struct.pack('<IfQQ', flag, 0.0, 1, 0) + b'some face'))
        for look in (RecordFile(path).header, RecordFile(path).image):
            with pytest.raises(UserError, match=message):
                look(0)
    path.write_bytes(record(b'short'))
    with pytest.raises(UserError, match='record at byte 0 has 5 bytes, expected 24 or more: an image header'):
        RecordFile(path).header(0)


def test_an_image_damaged_later_is_noticed_when_read(face_set: Path) -> None:
    source = RecordIOSource(face_set)
    with open(face_set / 'train.rec', 'r+b') as file:
        file.seek(source.offsets[4] + 7)
        file.write(b'\x40')  # kind 2 where a record begins
    with pytest.raises(UserError, match=f'at byte {source.offsets[4]} is of kind 2, expected 0 or 1'):
        image_of(source, 4)


def test_a_missing_set_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='found neither'):
        RecordIOSource(tmp_path / 'nowhere')
    with pytest.raises(UserError, match='found no .rec file'):
        RecordIOSource(tmp_path)
    for name in 'ab':
        (tmp_path / f'{name}.rec').write_bytes(record(image_record(0.0, 0, b'face')))
    with pytest.raises(UserError, match='found 2 .rec files, none of them train.rec; name one'):
        RecordIOSource(tmp_path)
    assert len(RecordIOSource(tmp_path / 'b.rec').labels) == 1


def test_names_in_insightfaces_list_are_matched_by_order(face_set: Path) -> None:
    lines = [f'1\t/photos/{label}/{row}.jpg\t{label}' for row, label in enumerate(LABELS)]
    lines.insert(2, '0\t/photos/0/left out.jpg\t0')  # neither aligned nor with landmarks: the packer skips it
    (face_set / 'train.lst').write_text('\n'.join(lines) + '\n')
    names = RecordIOSource(face_set).original_names()
    assert names == [f'/photos/{label}/{row}.jpg' for row, label in enumerate(LABELS)]


def test_names_in_mxnets_list_are_matched_by_number(face_set: Path) -> None:
    rows = [(number, LABELS[number - 1], f'{number} é.jpg') for number in (4, 2, 6, 1, 3, 5)]
    (face_set / 'train.lst').write_text(''.join(f'{number}\t{label:.6f}\t{name}\n' for number, label, name in rows))
    assert RecordIOSource(face_set).original_names() == [f'{number} é.jpg' for number in range(1, 7)]


@pytest.mark.parametrize(('lines', 'message'), [
    (['1\ta.jpg\t0'] * 5, "fits 5 of the set's images, expected 6"),
    (['1\ta.jpg\t0'] * 6, "gives 'a.jpg' the label 0, but record 3 has 1"),
    (['7\t0\ta.jpg'], "fits 0 of the set's images, expected 6"),
    (['1\ta.jpg\t0', 'a.jpg'], "line 2: expected 'aligned, path, label'"),
])
def test_the_list_of_another_set_is_refused(face_set: Path, lines: list[str], message: str) -> None:
    (face_set / 'train.lst').write_text('\n'.join(lines))
    with pytest.raises(UserError, match=message):
        RecordIOSource(face_set).original_names()


def test_without_a_list_there_are_no_names(face_set: Path) -> None:
    assert RecordIOSource(face_set).original_names() is None


def test_photographs_are_read_unchanged(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    jpeg, png = (cv2.imencode(ending, photo)[1].tobytes() for ending in ('.jpg', '.png'))
    source = RecordIOSource(write_set(tmp_path, [(0, [jpeg, png])]))
    assert images_of(source) == [jpeg, png]
    assert np.array_equal(decode_photo(image_of(source, 1)), photo[:, :, ::-1])


def _read_again(source: RecordIOSource) -> tuple[int, list[list[bytes]]]:
    return os.getpid(), [images_of(source) for _ in range(20)]


@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_several_processes_can_read_the_same_set(face_set: Path, start: str) -> None:
    source = RecordIOSource(face_set)
    assert images_of(source) == IMAGES  # open before the fork
    with multiprocessing.get_context(start).Pool(2) as pool:
        for owner, images in pool.map(_read_again, [source] * 4, chunksize=1):
            assert owner != os.getpid() and images == [IMAGES] * 20


def test_the_file_object_is_small_when_pickled(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [(0, [b'face'] * 5000)])
    source = RecordIOSource(folder)
    assert len(pickle.dumps(source.file)) < 1000
    assert pickle.loads(pickle.dumps(source.file)).image(int(source.offsets[-1])) == b'face'
