"""A RecordIO set, prepared from beginning to end."""

import json
from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.layouts.insightface import list_recordio
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.identities import read_identities
from tests.data.archives.record_writer import write_set

SETTINGS = PrepareSettings(scales=(2,), size=(28, 24), layout='recordio')
FACES = [np.random.default_rng(seed).integers(0, 256, (30, 30, 3), np.uint8) for seed in range(5)]


def faces(folder: Path) -> Path:
    """Label 1 has the images 1 to 3, label 0 the images 4 and 5."""
    return write_set(folder / 'set', [(1, [encode_png(face) for face in FACES[:3]]),
                                      (0, [encode_png(face) for face in FACES[3:]])])


def test_keys_are_label_and_record_number_and_the_pixels_are_the_records(tmp_path: Path) -> None:
    report = prepare(faces(tmp_path), tmp_path / 'out', SETTINGS)
    store = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    assert store.keys == ['0000000/00000004', '0000000/00000005', '0000001/00000001', '0000001/00000002',
                          '0000001/00000003']
    assert np.array_equal(store.image('0000000/00000005'), FACES[4][1:29, 3:27])
    assert read_identities(tmp_path / 'out')[1].tolist() == [0, 0, 1, 1, 1]
    assert report.notes[0].startswith(f"5 images of 2 people in '{tmp_path}/set/train.rec', property declares 2.")
    assert '0000001/00000001,1,train.rec#1' in (tmp_path / 'out' / 'identities.csv').read_text()
    assert not report.rejected and not report.renamed


@pytest.mark.slow
def test_several_processes_build_the_same(tmp_path: Path) -> None:
    people = [(label, [encode_png(face) for face in FACES]) for label in range(8)]
    source = write_set(tmp_path / 'set', people)
    one = prepare(source, tmp_path / 'one', SETTINGS)
    two = prepare(source, tmp_path / 'two', SETTINGS, workers=2)
    assert one.parts[''].files == two.parts[''].files and one.parts[''].images == 40


def test_a_damaged_image_is_rejected_and_named_by_its_record(tmp_path: Path) -> None:
    source = write_set(tmp_path / 'set', [(0, [encode_png(FACES[0]), b'no image', encode_png(FACES[1])[:90]])])
    report = prepare(source, tmp_path / 'out', SETTINGS)
    assert report.parts[''].images == 1
    assert [(path, reason.split(' (')[0]) for path, reason in report.rejected] == [
        ('train.rec#2', 'not an image'), ('train.rec#3', 'damaged image')]


def test_the_digest_follows_the_index_and_the_size(tmp_path: Path) -> None:
    source = faces(tmp_path)
    digest = list_recordio(source).digest
    assert list_recordio(source / 'train.rec').digest == digest
    (source / 'property').write_text('3,112,112')
    assert list_recordio(source).digest != digest


def test_a_truncated_set_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    rec = faces(tmp_path) / 'train.rec'
    rec.write_bytes(rec.read_bytes()[:-40])
    with pytest.raises(UserError):
        prepare(tmp_path / 'set', tmp_path / 'out', SETTINGS)
    assert not (tmp_path / 'out').exists()


def test_the_manifest_says_what_was_read(tmp_path: Path) -> None:
    prepare(faces(tmp_path), tmp_path / 'out', SETTINGS)
    manifest = json.loads((tmp_path / 'out' / 'manifest.json').read_text())
    assert manifest['layout']['name'] == 'recordio'
    assert manifest['layout']['images_in'] == str(tmp_path / 'set' / 'train.rec')
    assert manifest['settings']['size'] == [28, 24]
