"""SCface from its official tree."""

from pathlib import Path

import numpy as np
import pytest

from cface_basicsr.data.images.align import template_points, warp_face
from cface_basicsr.data.layouts.scface import list_scface
from cface_basicsr.data.prepare.run import PrepareSettings, prepare
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.scface_protocol import ScfaceProtocol
from tests.noise_photos import pixels, write_photo
from tests.small_face_trees import write_scface


def test_mug_shots_and_five_cameras_are_listed_by_person(tmp_path: Path) -> None:
    write_scface(tmp_path / 'x' / 'SCface_database', people=2)
    write_photo(tmp_path / 'x/SCface_database/surveillance_cameras_distance_2/002_cam5_2.jpg')  # in no camera's folder
    listing = list_scface(tmp_path / 'x')
    assert [source.key for source in listing.sources] == [
        '001/001_cam1_1', '001/001_cam1_2', '001/001_cam1_3', '001/001_cam2_1', '001/001_cam2_2', '001/001_cam2_3',
        '001/001_frontal', *(f'002/002_cam{camera}_{distance}' for camera in (1, 2) for distance in (1, 2, 3)),
        '002/002_cam5_2', '002/002_frontal']
    assert {path.rpartition('/')[2] for path, _ in listing.rejected} == {
        f'00{person}_cam6_{distance}.jpg' for person in (1, 2) for distance in (1, 2, 3)}
    assert listing.sources[-1].path == 'mugshot_frontal_cropped_all/002_frontal.JPG'


def test_a_prepared_folder_has_the_images_of_the_protocol(tmp_path: Path) -> None:
    write_scface(tmp_path / 'x', people=3)
    prepare(tmp_path / 'x', tmp_path / 'out', PrepareSettings(scales=(2,), layout='scface', crop='resize', size=32))
    protocol = ScfaceProtocol(read_identities(tmp_path / 'out')[0])
    assert protocol.compared.settings == {'people': 3, 'images': 18, 'far': 0.01, 'parts': 3}


@pytest.mark.parametrize('count', [2, 4])
def test_faces_are_aligned_by_eyes_or_eyes_nose_and_middle_of_the_mouth(tmp_path: Path, count: int) -> None:
    write_scface(tmp_path / 'x', people=2, cameras=1)
    template = template_points('arcface', 112)
    turned = (template * 0.4) @ np.array([[0.98, 0.199], [-0.199, 0.98]]) + [9, 4]  # turned by about eleven degrees
    known = np.concatenate([turned[:3], turned[3:].mean(0, keepdims=True)])[:count]
    numbers = ' '.join(f'{value:.6f}' for value in known.ravel())
    (tmp_path / 'eyes.txt').write_text(f'# name and points\n001_cam1_3 {numbers}\n001_frontal {numbers}\n')
    settings = PrepareSettings(scales=(2,), layout='scface', crop='align', size=112, template='arcface',
                               landmarks=tmp_path / 'eyes.txt')
    report = prepare(tmp_path / 'x', tmp_path / 'out', settings)
    photo = pixels(tmp_path / 'x/surveillance_cameras_distance_3/cam_1/001_cam1_3.jpg')
    expected = warp_face(photo, turned, template, 112).astype(int)
    found = FaceStore(tmp_path / 'out' / 'hr.lmdb')
    assert np.abs(found.image('001/001_cam1_3') - expected).max() <= 2
    assert found.keys == ['001/001_cam1_3', '001/001_frontal']
    assert sum(reason == 'no landmarks in eyes.txt' for _, reason in report.rejected) == 6


@pytest.mark.parametrize(('lost', 'message'), [
    ('mugshot_frontal_cropped_all', 'has no mugshot_frontal_cropped_all and surveillance_cameras_distance_1 to 3'),
    ('surveillance_cameras_distance_2', 'has no mugshot_frontal_cropped_all and surveillance'),
])
def test_a_folder_that_is_missing_is_named(tmp_path: Path, lost: str, message: str) -> None:
    (write_scface(tmp_path / 'x', people=2) / lost).rename(tmp_path / 'lost')
    with pytest.raises(UserError, match=message):
        list_scface(tmp_path / 'x')


def test_images_of_other_names_are_refused(tmp_path: Path) -> None:
    (write_scface(tmp_path / 'x', people=2) / 'surveillance_cameras_distance_2').rename(tmp_path / 'lost')
    write_photo(tmp_path / 'x/surveillance_cameras_distance_2/001_cam1_1.jpg')  # of distance 1
    with pytest.raises(UserError, match=r"distance_2' has no images such as 001_cam1_2.jpg. Expected those of SCface"):
        list_scface(tmp_path / 'x')
