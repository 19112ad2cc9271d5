"""Synthetic faces: the same numbers give the same face, and other numbers another."""

import numpy as np
import pytest

from cface_basicsr.data.generated_faces.render import CROP, PHOTO, render_face, render_photo
from cface_basicsr.data.generated_faces.traits import draw_hairstyle, draw_identity, draw_shot
from cface_basicsr.data.generated_faces.tree import SETTINGS, TreeSettings, write_synthetic_faces
from cface_basicsr.errors import UserError


def photos_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('*/*'))}


def test_a_face_is_eight_bit_rgb_of_the_wanted_size():
    for size in (16, 96, 128):
        face = render_face(1, 2, size)
        assert face.dtype == np.uint8 and face.shape == (size, size, 3) and face.flags.c_contiguous


def test_the_same_numbers_give_the_same_face_and_others_another():
    face = render_face(4, 1)
    for _ in range(2):
        draw_identity.cache_clear()
        draw_hairstyle.cache_clear()
        np.testing.assert_array_equal(render_face(4, 1), face)
    for other in (render_face(5, 1), render_face(4, 2), render_face(4, 1, seed=1)):
        assert np.abs(other.astype(int) - face).mean() > 5


def test_a_face_does_not_depend_on_what_was_drawn_before():
    late = [render_face(identity, 0, 64) for identity in range(10)][0]
    np.testing.assert_array_equal(late, render_face(0, 0, 64))


def test_a_face_is_the_centre_crop_of_its_photo():
    start = (PHOTO - CROP) // 2
    np.testing.assert_array_equal(render_face(3, 4), render_photo(3, 4)[start:start + CROP, start:start + CROP])


def test_identities_images_and_seeds_have_different_random_numbers():
    drawn = [draw_identity(seed, person).head_width for seed in range(3) for person in range(30)]
    drawn += [draw_shot(seed, person, image).roll for seed in range(3) for person in range(5) for image in range(10)]
    assert len(set(drawn)) == len(drawn)


def test_head_turns_move_the_nose_against_the_ears():
    # Seen from the side, the nose moves further than the edge of the head: parallax, not just a sheared flat picture.
    from dataclasses import replace

    from cface_basicsr.data.generated_faces.canvas import SIZE, SPAN
    from cface_basicsr.data.generated_faces.head import paint_head
    from cface_basicsr.data.generated_faces.render import _rotation, _where_from
    person = draw_identity(0, 2)
    shot = replace(draw_shot(0, 2, 0), yaw=0.35, pitch=0.0, roll=0.0, shift=(0.0, 0.0), zoom=1.0)
    columns, rows = _where_from(paint_head(person, shot, 0), shot, _rotation(shot), PHOTO)
    u = (columns[PHOTO // 2] + 0.5) / SIZE * 2 * SPAN - SPAN
    x = ((np.arange(PHOTO) + 0.5) / PHOTO * 2 - 1) * PHOTO / CROP

    def seen_at(place):
        return x[np.argmin(np.abs(u - place))]
    assert seen_at(0.0) > 0.1
    assert seen_at(0.0) - seen_at(-0.5) > 1.3 * (seen_at(0.5) - seen_at(0.0))


@pytest.mark.parametrize('bad', [{'identity': -1, 'image': 0}, {'identity': 0, 'image': -1},
                                 {'identity': 0, 'image': 0, 'size': 4}, {'identity': 0, 'image': 0, 'seed': -2}])
def test_numbers_out_of_range_are_refused(bad):
    with pytest.raises(UserError, match='got'):
        render_face(**bad)


def test_a_tree_has_casia_names_and_does_not_depend_on_the_workers(tmp_path):
    settings = TreeSettings(identities=3, images=2, size=64)
    assert write_synthetic_faces(tmp_path / 'one', settings) == 6
    assert write_synthetic_faces(tmp_path / 'two', settings, workers=2) == 6
    one = photos_of(tmp_path / 'one')
    assert list(one) == [f'{person:07d}/{image:03d}.jpg' for person in range(3) for image in range(2)]
    assert one == photos_of(tmp_path / 'two')


def test_a_stopped_run_continues_and_draws_only_what_is_missing(tmp_path):
    settings, steps = TreeSettings(identities=2, images=3, size=64), []
    write_synthetic_faces(tmp_path, settings)
    whole = photos_of(tmp_path)
    (tmp_path / '0000001' / '002.jpg').unlink()
    (tmp_path / '0000001' / '.001.jpg.tmp').write_bytes(b'cut off')
    (tmp_path / '0000001' / '001.jpg').unlink()
    assert write_synthetic_faces(tmp_path, settings, progress=lambda done, total: steps.append(done)) == 2
    assert photos_of(tmp_path) == whole and steps == [3, 6]


def test_ctrl_c_leaves_what_is_not_begun_undrawn(tmp_path):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        write_synthetic_faces(tmp_path, TreeSettings(identities=60, images=1, size=64), workers=2, progress=stop)
    assert len(photos_of(tmp_path)) < 30


def test_a_folder_with_anything_else_is_refused(tmp_path):
    write_synthetic_faces(tmp_path / 'faces', TreeSettings(identities=1, images=1, size=64))
    with pytest.raises(UserError, match='was made with seed = 0;\nnow it is to have seed = 1'):
        write_synthetic_faces(tmp_path / 'faces', TreeSettings(identities=1, images=1, size=64, seed=1))
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'holiday.jpg').write_bytes(b'x')
    with pytest.raises(UserError, match='is not empty, and holds no synthetic faces'):
        write_synthetic_faces(tmp_path / 'mine', TreeSettings(identities=1, images=1))
    (tmp_path / 'faces' / SETTINGS).write_text('{')
    with pytest.raises(UserError, match='is not JSON .*\n.*Delete the folder'):
        write_synthetic_faces(tmp_path / 'faces', TreeSettings(identities=1, images=1, size=64))


@pytest.mark.parametrize('name, value', [('identities', 0), ('images', 1001), ('size', 8), ('seed', -1)])
def test_tree_settings_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=f'{name}: expected'):
        TreeSettings(**{'identities': 2, 'images': 2, name: value})
