import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.cli.main import app
from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.super_resolution import super_resolve
from cface_basicsr.files.network_file import save_atomically


@pytest.fixture
def network(tmp_path):
    """A small x8 network and its file."""
    options = {'num_feat': 4, 'num_block': 1, 'scale': 8}
    made = SRResNet(**options).eval()
    save_atomically({'params': made.state_dict(), 'network': {'type': 'SRResNet', **options}}, tmp_path / 'net_g.pth')
    return made


@pytest.fixture
def enhance(network, tmp_path):
    def call(*arguments):
        return CliRunner().invoke(app, ['enhance', '--weights', str(tmp_path / 'net_g.pth'), '--device', 'cpu',
                                        '--out', str(tmp_path / 'out'), *map(str, arguments)])
    return call


def save(path, size=(16, 16), seed=0, mode='RGB'):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return pixels


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())


def test_faces_of_a_folder_come_out_as_the_network_makes_them_under_their_names(enhance, network, tmp_path):
    faces = [save(tmp_path / 'in' / name, seed=seed) for seed, name in enumerate(['a.png', 'p/b.bmp', 'p/c.png'])]
    result = enhance(tmp_path / 'in', '--batch-size', 2)
    assert result.exit_code == 0, result.output
    assert files(tmp_path / 'out') == ['a.png', 'p/b.png', 'p/c.png']
    for face, name in zip(faces, ['a.png', 'p/b.png', 'p/c.png'], strict=True):
        found = np.asarray(Image.open(tmp_path / 'out' / name))
        assert found.shape == (128, 128, 3)
        assert np.abs(found.astype(int) - super_resolve(network, face[None])[0]).max() <= 1


def test_grey_alpha_sixteen_bit_and_sizes_up_to_sixteen_are_accepted(enhance, tmp_path):
    for mode in ('L', 'RGBA', 'P', 'I;16'):
        save(tmp_path / 'in' / f'{mode.replace(";", "")}.png', mode='L' if mode == 'I;16' else mode)
    Image.fromarray(np.full((23, 16), 40000, np.uint16)).save(tmp_path / 'in' / 'I16.png')
    save(tmp_path / 'in' / 'small.jpg', (12, 14))
    result = enhance(tmp_path / 'in')
    assert result.exit_code == 0, result.output
    assert files(tmp_path / 'out') == ['I16.png', 'L.png', 'P.png', 'RGBA.png', 'small.png']
    assert {Image.open(path).size for path in (tmp_path / 'out').iterdir()} == {(128, 128)}


def test_what_does_not_fit_is_named_in_one_line_each_and_the_others_are_done(enhance, tmp_path):
    save(tmp_path / 'in' / 'good.png')
    save(tmp_path / 'in' / 'large.png', (64, 64))
    (tmp_path / 'in' / 'broken.jpg').write_bytes(b'no image')
    result = enhance(tmp_path / 'in')
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith('cface: ')]
    assert len(lines) == 2
    assert 'broken.jpg: cannot be read as an image' in lines[0]
    assert 'large.png: 64x64 pixels' in lines[1] and 'use a network for x2' in lines[1]
    assert files(tmp_path / 'out') == ['good.png']


def test_results_are_never_overwritten_unasked_nor_inputs_at_all(enhance, tmp_path):
    save(tmp_path / 'in' / 'a.png')
    save(tmp_path / 'in' / 'a.bmp', seed=1)
    first = enhance(tmp_path / 'in' / 'a.png')
    before = (tmp_path / 'out' / 'a.png').read_bytes()
    again = enhance(tmp_path / 'in' / 'a.bmp')
    assert (first.exit_code, again.exit_code) == (0, 1) and '--overwrite' in again.stderr
    assert (tmp_path / 'out' / 'a.png').read_bytes() == before
    assert enhance(tmp_path / 'in' / 'a.bmp', '--overwrite').exit_code == 0
    assert (tmp_path / 'out' / 'a.png').read_bytes() != before
    both = enhance(tmp_path / 'in', '--overwrite')
    assert both.exit_code == 1 and 'already becomes' in both.stderr
    onto_itself = enhance(tmp_path / 'out' / 'a.png', '--overwrite')
    assert onto_itself.exit_code == 1 and 'would overwrite the input' in onto_itself.stderr


def test_what_a_network_does_not_know_is_said_only_where_it_has_something_to_enhance(tmp_path):
    command = ['enhance', str(tmp_path / 'a.png'), '--weights', 'cface-x8', '--out', str(tmp_path / 'out')]
    missing = CliRunner().invoke(app, command)
    assert isinstance(missing.exception, UserError) and missing.stderr == ''
    save(tmp_path / 'a.png')
    assert 'cface-x8: Enlarges synthetic faces' in CliRunner().invoke(app, command).stderr
    assert 'cface-x8: ' not in CliRunner().invoke(app, command).stderr  # its result is there already


def test_of_several_networks_only_those_that_were_given_a_face_are_spoken_of(tmp_path, monkeypatch):
    save(tmp_path / '16.png')
    save(tmp_path / 'photo.png', (120, 150))
    faces_seen(monkeypatch, (24, 30, 40), (80, 60, 5))
    command = ['enhance', '--device', 'cpu', '--out', str(tmp_path / 'out')]
    for name, told in (('16', ['cface-x8']), ('photo', ['cface-x4'])):
        said = CliRunner().invoke(app, [*command, str(tmp_path / f'{name}.png')])
        assert re.findall(r'^(cface-x\d): .* Licence: Apache-2.0$', said.stderr, re.M) == told, said.output
    faces_seen(monkeypatch, (80, 60, 5))
    said = CliRunner().invoke(app, [*command, '--overwrite', str(tmp_path / 'photo.png')])
    assert '0 of 1 faces enhanced' in said.stdout and 'Licence' not in said.stderr


def test_where_nobody_knows_how_a_networks_faces_were_cropped_one_line_says_what_was_taken(enhance, tmp_path,
                                                                                            monkeypatch):
    from tests.zoo.made_up_networks import write_generator
    save(tmp_path / 'in' / 'a.png', (120, 150))
    save(tmp_path / 'in' / 'b.png', (120, 150), seed=1)
    save(tmp_path / 'crop.png')
    faces_seen(monkeypatch, (16, 30, 40), (14, 70, 40))
    unknown = enhance(tmp_path / 'in', '--quiet')
    assert unknown.exit_code == 0 and unknown.stderr.splitlines() == [
        f'{tmp_path}/net_g.pth: its file does not say how the faces were cropped that it was trained on, so faces of '
        "photographs are aligned to ArcFace's template. --template says another one."]
    usual = Image.open(tmp_path / 'out' / 'a.png').tobytes()
    for words, same in ((['--template', 'arcface'], True), (['--template', 'center'], False)):
        told = enhance(tmp_path / 'in' / 'a.png', '--overwrite', *words)
        assert told.exit_code == 0 and 'template' not in told.stderr
        assert (Image.open(tmp_path / 'out' / 'a.png').tobytes() == usual) == same
    assert 'template' not in enhance(tmp_path / 'crop.png').stderr
    recorded = ['--overwrite', '--weights', write_generator(tmp_path / 'known.pth', template='dlib')]
    assert 'template' not in enhance(tmp_path / 'in', *recorded).stderr
    with pytest.raises(UserError, match="--template center: '.*known.pth' was trained on faces of 'dlib', as its card"):
        raise enhance(tmp_path / 'in', *recorded, '--template', 'center').exception


def test_a_photograph_whose_enlargement_would_fill_the_memory_is_refused_and_the_others_are_done(
        enhance, tmp_path, monkeypatch):
    from cface_basicsr.enhancing import photo_file
    monkeypatch.setattr(photo_file, '_MOST_ENLARGED', 120 * 150 * 3 * 4)
    for name, size in (('a.png', (120, 151)), ('b.png', (120, 150))):
        save(tmp_path / 'in' / name, size)
    faces_seen(monkeypatch, (16, 30, 40))
    done = enhance(tmp_path / 'in', '--upscale', 2)
    assert done.exit_code == 1 and files(tmp_path / 'out') == ['b.png']
    reason = 'would take 217,440 bytes, enlarged 2 times; expected at most 216,000. Enlarge it less.'
    assert f'a.png: {reason}' in done.stderr
    assert enhance(tmp_path / 'in' / 'a.png').exit_code == 0


def test_the_copies_in_which_faces_are_looked_for_can_be_said(enhance, tmp_path, monkeypatch):
    from cface_basicsr.enhancing import detector
    asked = []
    save(tmp_path / 'photo.png', (120, 150))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detector, 'detect_faces', lambda photo, *any, scales=None, **more: asked.append(scales) or [])
    for words in ([], ['--detect-scale', 'auto'], ['--detect-scale', 1, 2, 4], ['--detect-scale', '0.5,3']):
        enhance('photo.png', *words, '--faces', 'photo')
    assert asked == [None, None, None, None, (1, 2, 4), None, (0.5, 3), None] or asked[::2] == [
        None, None, (1, 2, 4), (0.5, 3)]
    for words, message in ((['two'], "expected numbers such as 1 2 4, or auto, got 'two'"),
                           (['9'], 'expected whole numbers up to 8 or shares below 1, such as 1 2 4, or auto, got 9')):
        with pytest.raises(UserError, match=f'--detect-scale: {message}'):
            raise enhance('photo.png', '--detect-scale', *words).exception
    with pytest.raises(UserError, match='expected a photograph, got only numbers for --detect-scale'):
        raise enhance('--detect-scale', '1', '2').exception


def test_enhanced_faces_that_are_shown_small_are_told_with_what_shows_more_of_them(enhance, tmp_path, monkeypatch):
    save(tmp_path / 'photo.png', (120, 150))
    faces_seen(monkeypatch, (12, 4, 4), (16, 30, 40), (80, 60, 5))
    words = 'Faces of 12 to 16 pixels were drawn at 128 and are shown at {}: --upscale 4 shows them at 48 to 64.'
    assert words.format('12 to 16') in enhance(tmp_path / 'photo.png').stderr
    assert words.format('24 to 32') in enhance(tmp_path / 'photo.png', '--overwrite', '--upscale', 2).stderr
    for options in (['--upscale', 4], ['--save', 'faces'], ['--min-face', 17], ['--quiet']):
        assert '--upscale' not in enhance(tmp_path / 'photo.png', '--overwrite', *options).stderr


def test_what_is_around_the_faces_is_enlarged_by_a_network_that_is_named(enhance, tmp_path, monkeypatch):
    from cface_basicsr.enhancing.background import open_background
    from tests.zoo.made_up_networks import write_generator
    pixels, any_kind = save(tmp_path / 'photo.png', (120, 150)), write_generator(tmp_path / 'any.pth', 2)
    faces_seen(monkeypatch, (16, 30, 40))
    done = enhance(tmp_path / 'photo.png', '--upscale', 2, '--background', any_kind)
    assert done.exit_code == 0, done.output
    made = np.asarray(Image.open(tmp_path / 'out' / 'photo.png')).astype(int)
    apart = np.abs(made - open_background(any_kind)(pixels, 2)).max(-1)
    assert apart[90:100, 70:80].min() > 1
    apart[80:112, 60:92] = 0
    assert apart.max() <= 1
    with pytest.raises(UserError, match='--background enlarges .*: it needs --upscale 2 or more'):
        raise enhance(tmp_path / 'photo.png', '--background', any_kind).exception


def test_a_file_that_is_given_twice_is_enhanced_once(enhance, tmp_path):
    save(tmp_path / 'in' / 'a.png')
    result = enhance(tmp_path / 'in' / 'a.png', tmp_path / 'in')
    assert result.exit_code == 0 and "1 face in '" in result.stdout


def test_json_tells_what_was_written_and_refused(enhance, tmp_path):
    save(tmp_path / 'in' / 'a.png')
    save(tmp_path / 'in' / 'b.png', (40, 40))
    content = json.loads(enhance(tmp_path / 'in', '--json').stdout)
    assert content['scale'] == 8 and content['written'] == [str(tmp_path / 'out' / 'a.png')]
    assert [entry['path'] for entry in content['refused']] == [str(tmp_path / 'in' / 'b.png')]


def test_a_network_of_another_kind_or_a_device_that_is_absent_is_refused(enhance, network, tmp_path):
    save(tmp_path / 'a.png')
    absent = enhance(tmp_path / 'a.png', '--device', 'nonsense')
    assert isinstance(absent.exception, UserError) and 'Try --device cpu' in str(absent.exception)
    options = {'input_size': [32, 32], 'num_feat': 4, 'feature_length': 8}
    from cface_basicsr.archs.sphereface20_arch import SphereFace20
    save_atomically({'params': SphereFace20(**options).state_dict(), 'network': {'type': 'SphereFace20', **options}},
                    tmp_path / 'net_g.pth')
    other = enhance(tmp_path / 'a.png')
    assert isinstance(other.exception, UserError) and 'Expected a super-resolution network' in str(other.exception)
    assert not (tmp_path / 'out').exists()


def test_files_that_differ_by_their_ending_give_two_results_when_asked(enhance, tmp_path):
    for name in ('p/a.gif', 'p/a.tif', 'b.png'):
        save(tmp_path / 'in' / name)
    result = enhance(tmp_path / 'in')
    assert result.exit_code == 1 and files(tmp_path / 'out') == ['b.png', 'p/a.png']
    assert ("in/p/a.gif' already becomes '" in result.stderr
            and "out/p/a.png'; with --keep-extension they become 'a.gif.png' and 'a.tif.png'\n" in result.stderr)
    result = enhance(tmp_path / 'in', '--keep-extension', '--out', tmp_path / 'kept')
    assert result.exit_code == 0, result.output
    assert files(tmp_path / 'kept') == ['b.png.png', 'p/a.gif.png', 'p/a.tif.png']
    save(tmp_path / 'other' / 'a.gif')
    result = enhance(tmp_path / 'in' / 'p' / 'a.gif', tmp_path / 'other', '--out', tmp_path / 'same')
    assert result.exit_code == 1 and '--keep-extension' not in result.stderr  # it would not help


def test_a_link_to_itself_is_named_and_the_others_are_done(enhance, tmp_path):
    save(tmp_path / 'in' / 'a.png')
    (tmp_path / 'in' / 'loop.png').symlink_to('loop.png')
    (tmp_path / 'in' / 'ring').symlink_to('.')
    result = enhance(tmp_path / 'in')
    assert result.exit_code == 1 and files(tmp_path / 'out') == ['a.png']
    assert result.stderr.splitlines()[-1] == f'cface: {tmp_path}/in/loop.png: is missing. Expected an image file.'


def faces_seen(monkeypatch, *faces):
    """Photographs show these faces: (height, left, top)."""
    from cface_basicsr.data.images.align import template_points
    from cface_basicsr.enhancing import detector
    found = [detector.DetectedFace(np.array([left, top, left + height, top + height], float), 0.9,
                                   template_points('arcface', 128) * height / 128 + [left, top])
             for height, left, top in faces]
    monkeypatch.setattr(detector, 'detect_faces', lambda *any, **more: found)


def test_only_the_faces_of_a_photograph_change(enhance, tmp_path, monkeypatch):
    pixels = save(tmp_path / 'in' / 'photo.png', (120, 150))
    save(tmp_path / 'in' / 'crop.png')
    faces_seen(monkeypatch, (16, 30, 40), (80, 60, 5))
    result = enhance(tmp_path / 'in')
    assert result.exit_code == 0, result.output
    assert files(tmp_path / 'out') == ['crop.png', 'photo.png']
    assert '1 of 2 faces enhanced' in result.stdout
    assert 'skipped: 80 pixels high, larger than the 16.8 that a network for x8 takes' in result.stdout
    changed = (np.asarray(Image.open(tmp_path / 'out' / 'photo.png')) != pixels).any(-1)
    assert changed[40:56, 30:46].sum() > 100
    changed[40:56, 30:46] = False
    assert not changed.any()


def test_a_photograph_without_faces_is_named_with_its_strongest_candidate(enhance, tmp_path):
    save(tmp_path / 'in' / 'noise.png', (120, 150))
    result = enhance(tmp_path / 'in', '--json')
    assert result.exit_code == 1 and not (tmp_path / 'out').exists()
    content = json.loads(result.stdout)
    assert content['photos'] == []
    assert re.search(r'shows no face: the strongest candidate has a score of 0\.\d\d, and 0\.8 is asked for',
                     content['refused'][0]['reason'])


def test_what_an_image_is_can_be_said(enhance, tmp_path, monkeypatch):
    save(tmp_path / 'in' / 'a.png', (20, 20))
    faces_seen(monkeypatch, (12, 4, 4))
    result = enhance(tmp_path / 'in', '--faces', 'photo', '--upscale', 3, '--json')
    assert result.exit_code == 0, result.output
    (photo,) = json.loads(result.stdout)['photos']
    assert photo['faces'][0]['box'] == [4, 4, 16, 16] and photo['faces'][0]['skipped'] == ''
    assert Image.open(tmp_path / 'out' / 'a.png').size == (60, 60)
    save(tmp_path / 'in' / 'a.png', (400, 400))
    refused = enhance(tmp_path / 'in', '--faces', 'crop', '--overwrite')
    assert refused.exit_code == 1 and 'resize or crop it first' in refused.stderr


def test_the_faces_of_two_photographs_are_saved_as_asked_with_a_record_of_each(enhance, tmp_path, monkeypatch):
    for name in ('a', 'b'):
        save(tmp_path / 'in' / f'{name}.png', (120, 150), seed=ord(name))
    faces_seen(monkeypatch, (80, 60, 5), (16, 30, 40))
    result = enhance(tmp_path / 'in', '--save', 'json,faces,compare', '--json')
    assert result.exit_code == 0, result.output
    assert files(tmp_path / 'out') == ['a.compare.png', 'a.face2.png', 'a.json', 'b.compare.png', 'b.face2.png',
                                       'b.json']
    both, face = (np.asarray(Image.open(tmp_path / 'out' / f'a.{name}.png')) for name in ('compare', 'face2'))
    assert both.shape == (128, 256, 3) and (both[:, 128:] == face).all()
    printed, record = json.loads(result.stdout)['photos'][0], json.loads((tmp_path / 'out' / 'a.json').read_text())
    assert record == printed and [bool(face['skipped']) for face in record['faces']] == [True, False]
    assert record['faces'][1]['scale'] == 8 and record['faces'][0]['scale'] is None
    said = enhance(tmp_path / 'in' / 'a.png', '--save', 'image,json,faces,compare', '--overwrite').stdout.splitlines()
    out = tmp_path / 'out'
    assert said == [f'{out}/a.png: 1 of 2 faces enhanced', f'  {out}/a.face2.png', f'  {out}/a.compare.png',
                    f'  {out}/a.json', f"  face 1 skipped: {record['faces'][0]['skipped']}"]


def test_each_file_that_was_written_is_named_in_the_output_and_in_the_record(enhance, tmp_path, monkeypatch):
    save(tmp_path / 'in' / 'a.png', (120, 150))
    faces_seen(monkeypatch, (16, 30, 40))
    compared = enhance(tmp_path / 'in', '--save', 'compare')
    assert compared.stdout == f'{tmp_path}/out/a.compare.png: 1 of 1 faces enhanced\n'
    for kinds in ('compare', 'image,compare', 'faces,json,compare'):
        (photo,) = json.loads(enhance(tmp_path / 'in', '--save', kinds, '--json', '--overwrite').stdout)['photos']
        named = {Path(file).relative_to(tmp_path / 'out').as_posix() for file in photo['files']}
        assert named >= {'a.compare.png'} and named <= set(files(tmp_path / 'out'))
    assert set(files(tmp_path / 'out')) == {'a.compare.png', 'a.png', 'a.face1.png', 'a.json'}


def test_an_unknown_result_is_refused_before_anything_is_computed(enhance, tmp_path):
    save(tmp_path / 'a.png')
    for text in ('image,faecs', ','):
        with pytest.raises(UserError, match='--save: expected some of image, faces, compare, json, separated by'):
            raise enhance(tmp_path / 'a.png', '--save', text).exception


def test_no_result_of_a_photograph_replaces_an_input_another_result_or_unasked_a_file(enhance, tmp_path, monkeypatch):
    faces_seen(monkeypatch, (16, 30, 40))
    for name in ('a.png', 'a.face1.jpg', 'c.png'):
        save(tmp_path / 'in' / name, (120, 150))
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'c.face1.png').write_text('mine')
    result = enhance(tmp_path / 'in', '--save', 'image,faces')
    assert result.exit_code == 1
    reasons = [line.partition('.png: ')[2] for line in result.stderr.splitlines() if line.startswith('cface: ')]
    assert "a.face1.png' belongs to '" in reasons[0]
    assert reasons[1].endswith("c.face1.png' exists; --overwrite replaces it")
    assert files(tmp_path / 'out') == ['a.face1.face1.png', 'a.face1.png', 'c.face1.png']
    assert (tmp_path / 'out' / 'c.face1.png').read_text() == 'mine'
    first = tmp_path / 'out' / 'a.face1.png'
    onto = enhance(tmp_path / 'in' / 'a.png', first, '--save', 'faces', '--overwrite', '--faces', 'photo')
    assert onto.exit_code == 1 and f"its result would overwrite the input '{first}'" in onto.stderr


def test_a_photograph_that_cannot_be_read_between_two_others_is_named_and_they_keep_their_names(enhance, tmp_path,
                                                                                              monkeypatch):
    faces_seen(monkeypatch, (16, 30, 40))
    pixels = {name: save(tmp_path / 'in' / name, (120, 150), seed) for seed, name in enumerate(['a.png', 'c.png'])}
    (tmp_path / 'in' / 'b.png').write_bytes((tmp_path / 'in' / 'a.png').read_bytes()[:20_000])
    result = enhance(tmp_path / 'in', '--faces', 'photo')
    assert result.exit_code == 1 and 'b.png: cannot be read as a photograph' in result.stderr
    for name, before in pixels.items():
        assert (np.asarray(Image.open(tmp_path / 'out' / name))[:30] == before[:30]).all()


def test_the_search_for_faces_is_part_of_the_progress(enhance, tmp_path, monkeypatch):
    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.enhancing import detector
    told = []
    monkeypatch.setattr(ShowSteps, 'advance', lambda show, done, text='': told.append((round(done, 3), text)))
    monkeypatch.setattr(detector, 'load_shipped_detector', lambda: lambda tile, sure: np.empty((0, 15), np.float32))
    for name in 'ab':
        save(tmp_path / 'in' / f'{name}.png', (120, 150))
    enhance(tmp_path / 'in')
    words = 'looking for faces, tile {} of 3, in {}.png'
    assert told == [*((round(0.9 * seen / 3, 3), words.format(seen, 'a')) for seen in range(4)),
                    *((round(1 + 0.9 * seen / 3, 3), words.format(seen, 'b')) for seen in range(4)),
                    (1.9, 'enhancing faces')]


def test_half_precision_changes_a_face_by_a_few_grey_levels_at_most(enhance, tmp_path):
    save(tmp_path / 'a.png')
    assert enhance(tmp_path / 'a.png').exit_code == 0
    whole = np.asarray(Image.open(tmp_path / 'out' / 'a.png')).astype(int)
    assert enhance(tmp_path / 'a.png', '--half', '--overwrite').exit_code == 0
    apart = np.abs(whole - np.asarray(Image.open(tmp_path / 'out' / 'a.png')))
    assert apart.max() <= 4


def test_dlib_tells_how_similar_faces_are_to_photos_of_a_person_and_how_much_they_change(enhance, tmp_path,
                                                                                         monkeypatch):
    from cface_basicsr.enhancing import reference
    save(tmp_path / 'in' / 'a.png', (120, 150))
    save(tmp_path / 'ann' / '1.png', (128, 128))
    faces_seen(monkeypatch, (16, 30, 40))
    result = enhance(tmp_path / 'in', '--evidence')
    assert result.exit_code == 0 and re.search(r'face 1: change from bicubic \d\.\d{3}\n', result.stdout), result.output
    from cface_basicsr.data.images.align import template_points
    from cface_basicsr.enhancing.detector import DetectedFace
    monkeypatch.setattr(reference, 'detect_faces', lambda *any: [
        DetectedFace(np.array([0, 0, 128, 128.0]), 0.9, template_points('arcface', 128))])
    result = enhance(tmp_path / 'in', '--reference', tmp_path / 'ann', '--gate', 'keep', '--json', '--overwrite')
    face = json.loads(result.stdout)['photos'][0]['faces'][0]
    evidence = face['evidence']
    assert face['kept'] == (evidence['bicubic_similarity'] > evidence['similarity'])
    in_words = enhance(tmp_path / 'in', '--reference', tmp_path / 'ann', '--gate', 'keep', '--overwrite').stdout
    assert f"{1 - face['kept']} of 1 faces enhanced" in in_words
    assert ('the bicubic face was put back' in in_words) == face['kept']
    assert evidence['far'] is None and "card has no impostor scores for faces of 16 pixels" in evidence['words']


def test_a_gate_without_photos_of_the_person_and_a_judge_of_crops_are_refused(enhance, tmp_path):
    save(tmp_path / 'a.png')
    with pytest.raises(UserError, match='give them by --reference DIR'):
        raise enhance(tmp_path / 'a.png', '--gate', 'warn').exception
    with pytest.raises(UserError, match="a.png' is a face crop. Say --faces photo, or leave it out."):
        raise enhance(tmp_path / 'a.png', '--evidence').exception


def test_auto_gives_each_crop_to_the_network_of_its_size(tmp_path, monkeypatch):
    from cface_basicsr.zoo import catalogue
    from tests.zoo.made_up_networks import write_zoo
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(catalogue, 'SHIPPED_NETWORKS', tmp_path / 'package')
    for scale in (4, 8):
        write_zoo(tmp_path / 'home' / 'networks', f'tiny-x{scale}', scale)
    faces = {side: save(tmp_path / 'in' / f'{side}.png', (side, side)) for side in (16, 32, 60)}
    words = ['enhance', str(tmp_path / 'in'), '--out', str(tmp_path / 'out'), '--device', 'cpu', '--json']
    result = CliRunner().invoke(app, words)
    content = json.loads(result.stdout)
    assert content['networks'] == {'tiny-x4': 4, 'tiny-x8': 8} and content['weights'] == 'auto'
    assert result.exit_code == 1 and [Path(entry['path']).name for entry in content['refused']] == ['60.png']
    assert 'use a network for x2' in content['refused'][0]['reason']
    import cface_basicsr as cface
    for side, scale in ((16, 8), (32, 4)):
        expected = cface.load(f'tiny-x{scale}').enhance(faces[side][None])[0]
        assert np.abs(np.asarray(Image.open(tmp_path / 'out' / f'{side}.png')).astype(int) - expected).max() <= 1


def test_a_video_that_is_named_becomes_a_video_and_one_without_faces_is_named(enhance, tmp_path, monkeypatch):
    pytest.importorskip('av', reason='videos need PyAV')
    from cface_basicsr.enhancing import video
    from tests.enhancing.test_video import write_video
    (tmp_path / 'in').mkdir()
    source = write_video(tmp_path / 'in' / 'a.mp4', 2)
    none = enhance(source, '--json')
    assert none.exit_code == 1 and 'shows no face that was enhanced' in none.stderr
    assert json.loads(none.stdout)['videos'][0]['frames'] == 2 and files(tmp_path / 'out') == ['a.mp4']
    def broken(*any, advance):
        raise UserError('the disk is full.')
    monkeypatch.setattr(video, 'enhance_video', broken)
    source.with_name('b.mp4').write_bytes(b'no video')
    failed = enhance(source, source.with_name('b.mp4'), '--overwrite')
    assert failed.stderr.splitlines()[:2] == ['[1/2] a.mp4: not written', '[2/2] b.mp4: not written']
    monkeypatch.setattr(video, 'enhance_video', lambda *any, advance: video.VideoReport(2, 1, 3))
    again = enhance(source)
    assert again.exit_code == 1 and "out/a.mp4' exists; --overwrite replaces it" in again.stderr
    onto = enhance(source, '--out', tmp_path / 'in', '--overwrite')
    assert onto.exit_code == 1 and 'would overwrite the input' in onto.stderr
    done = enhance(source, '--overwrite')
    assert done.exit_code == 0
    assert 'out/a.mp4: 3 faces in 2 frames enhanced; 1 could not be decoded and are missing' in done.stdout
    with pytest.raises(UserError, match="a.mp4' is a video, which gets no record and no evidence"):
        raise enhance(source, '--save', 'json').exception
