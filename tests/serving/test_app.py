"""The page's answers: what comes out is what the command writes, and what comes in is bounded and refused in words."""

import base64
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from typer.testing import CliRunner

pytest.importorskip('starlette', reason='the page needs starlette')
pytest.importorskip('uvicorn', reason='the page needs uvicorn')
from cface_basicsr.cli.main import app as commands  # noqa: E402
from cface_basicsr.data.images.align import template_points  # noqa: E402
from cface_basicsr.enhancing import detector, networks, photo_file, reference  # noqa: E402
from cface_basicsr.enhancing.detector import DetectedFace  # noqa: E402
from cface_basicsr.enhancing.evidence import Evidence  # noqa: E402
from cface_basicsr.errors import UserError  # noqa: E402
from cface_basicsr.evaluation.features import extract_features  # noqa: E402
from cface_basicsr.recognizers.load import load_recognizer  # noqa: E402
from cface_basicsr.serving import app as pages  # noqa: E402
from cface_basicsr.serving import studio as studios  # noqa: E402
from cface_basicsr.serving.app import listen, make_app  # noqa: E402
from cface_basicsr.serving.studio import Studio, plain_words  # noqa: E402
from cface_basicsr.zoo import catalogue  # noqa: E402
from tests.serving.asgi import PORT, Answer, ask  # noqa: E402
from tests.small_data import smooth_images  # noqa: E402
from tests.zoo.made_up_networks import write_zoo  # noqa: E402


def face_of(height: float, left: float, top: float) -> DetectedFace:
    return DetectedFace(np.array([left, top, left + height, top + height]), 0.9,
                        template_points('arcface', 128) * height / 128 + [left, top])


FACES = [face_of(16, 10, 40), face_of(60, 60, 5), face_of(130, 5, 5)]


@pytest.fixture(autouse=True)
def _zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks, and a detector that sees three faces in every photo, and one in every reference."""
    monkeypatch.setenv('CFACE_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(catalogue, 'SHIPPED_NETWORKS', tmp_path / 'package')
    for scale in (4, 8):
        write_zoo(tmp_path / 'home' / 'networks', f'tiny-x{scale}', scale, template='arcface')
    for module in (detector, studios):
        monkeypatch.setattr(module, 'detect_faces', lambda *any, **more: FACES)
    monkeypatch.setattr(reference, 'detect_faces', lambda *any: [face_of(128, 0, 0)])


@pytest.fixture
def page() -> Any:
    return make_app(Studio(), PORT)


def png(pixels: np.ndarray, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG', **more)
    return buffer.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (140, 150, 4)).astype(np.uint8)
PERSON = smooth_images(1, seed=3)[0]


def inlined(picture: str) -> np.ndarray:
    """The pixels of a picture in an answer."""
    kind, _, content = picture.partition(',')
    assert kind == 'data:image/png;base64'
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def enhanced(page: Any, key: str, **wanted: Any) -> Answer:
    return ask(page, 'POST', f'/photos/{key}', json.dumps({'system': 'auto'} | wanted).encode())


def looked_at(page: Any, content: bytes | None = None, name: str = 'our%20party.png') -> Any:
    answer = ask(page, 'POST', f'/photos?name={name}', png(PIXELS) if content is None else content)
    assert answer.status == 200, answer.body
    return answer.json


@pytest.mark.parametrize(('wanted', 'words'), [
    ({}, []), ({'system': 'tiny-x4'}, ['--weights', 'tiny-x4']), ({'half': True}, ['--half']),
    ({'upscale': 2, 'strength': 0.5, 'min_face': 30, 'max_face': 70},
     ['--upscale', 2, '--strength', 0.5, '--min-face', 30, '--max-face', 70]),
    ({'gate': 'keep', 'references': 1}, ['--gate', 'keep', '--reference', 'ann'])], ids=str)
def test_the_png_is_byte_for_byte_what_the_command_writes_with_the_same_settings(
        page: Any, tmp_path: Path, wanted: dict[str, Any], words: list[Any]) -> None:
    plain = enhanced(page, looked_at(page)['key']).json
    (tmp_path / 'ann').mkdir()
    (tmp_path / 'ann' / '1.png').write_bytes(person := png(inlined(plain['faces'][0]['bicubic'])))  # nearer than any
    if 'references' in wanted:
        added = ask(page, 'POST', '/references?name=1.png', person).json
        wanted = wanted | {'references': [added['key']]}
    profile, exif = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes(), Image.Exif()
    exif[271] = 'a camera'
    (tmp_path / 'our party.png').write_bytes(content := png(PIXELS, icc_profile=profile, exif=exif))
    answer = enhanced(page, looked_at(page, content)['key'], **wanted).json
    got = ask(page, 'GET', answer['picture'])
    words = [tmp_path / word if word == 'ann' else word for word in words]
    call = ['enhance', tmp_path / 'our party.png', '--out', tmp_path / 'out', '--faces', 'photo', '--device', 'cpu']
    done = CliRunner().invoke(commands, [*map(str, call + words)])
    assert done.exit_code == 0, done.output
    assert got.headers['content-type'] == 'image/png' and answer['file'] == 'our party.png'
    assert got.body == (tmp_path / 'out' / 'our party.png').read_bytes()
    made = Image.open(io.BytesIO(got.body))
    assert made.info['icc_profile'] == profile
    usual = Image.open(io.BytesIO(ask(page, 'GET', plain['picture']).body))
    assert np.array_equal(np.asarray(made), np.asarray(usual)) == (not wanted)  # each setting changes something


def test_faces_have_their_boxes_and_heights_and_those_that_stay_say_why(page: Any) -> None:
    found = looked_at(page)
    assert [(face['box'], face['height']) for face in found['faces']] == [
        ([10, 40, 26, 56], 16), ([60, 5, 120, 65], 60), ([5, 5, 135, 135], 130)]
    assert (found['width'], found['height'], found['name']) == (150, 140, 'our party.png')
    before = ask(page, 'GET', found['picture'])
    assert (np.asarray(Image.open(io.BytesIO(before.body))) == PIXELS).all()
    auto, small = (enhanced(page, found['key'], system=system).json['faces'] for system in ('auto', 'tiny-x8'))
    assert [face.get('network') for face in auto] == ['tiny-x8', None, None]
    assert auto[0]['input'] == 16 and auto[0]['bicubic'] != auto[0]['enhanced']
    assert re.fullmatch(r'Change from bicubic: \d\.\d{3}\.', ' '.join(auto[0]['words']))
    assert 'use one for x2' in auto[1]['skipped'] and 'larger than the 33.6 that' in auto[2]['skipped']
    assert small[1]['skipped'].endswith('; use one for x2')


def test_with_photos_of_the_person_the_evidence_compares_and_the_photos_are_not_kept(
        page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr(studios.Kept, 'add', lambda *call, add=studios.Kept.add: kept.append(call[-1]) or add(*call))
    photo = np.pad(PERSON, ((0, 50), (0, 20), (0, 0)))
    added = ask(page, 'POST', '/references?name=ann.png', png(photo)).json
    assert added['name'] == 'ann.png' and kept == [PERSON.nbytes]
    assert np.abs(inlined(added['face']).astype(int) - PERSON).max() <= 1
    (face, *_) = enhanced(page, looked_at(page)['key'], references=[added['key']]).json['faces']
    person, after, before = extract_features(load_recognizer('dlib'), np.stack(
        [inlined(each) for each in (added['face'], face['enhanced'], face['bicubic'])]))
    similarity, bicubic = after @ person, before @ person
    assert face['words'][0] == f'Similarity to the reference: {similarity:.3f}; bicubic: {bicubic:.3f}.'
    assert face['words'][1:-1] == ['Bicubic is nearer to the reference.'] * int(bicubic > similarity)
    assert face['words'][-1] == ("How often faces of other people are as similar is unknown: the network's card has no "
                                 'impostor scores for faces of 16 pixels.')


def test_a_network_whose_loss_the_judge_has_led_is_not_judged(page: Any, tmp_path: Path) -> None:
    write_zoo(tmp_path / 'home' / 'networks', 'led-x8', 8, recognizer='dlib')
    key, person = looked_at(page)['key'], ask(page, 'POST', '/references?name=ann.png', png(PERSON)).json['key']
    (face, *_) = enhanced(page, key, system='led-x8').json['faces']
    assert face['words'] == ["Not judged: dlib's recognizer led a loss of this network.",
                             "Aligned to ArcFace's template: the network's file does not say how the faces were "
                             'cropped that it was trained on.'] and 'evidence' not in face
    compared = enhanced(page, key, system='led-x8', references=[person])
    assert compared.json['error'].startswith("dlib's recognizer led a loss of 'led-x8', so it is not a judge")


def test_of_several_networks_only_the_faces_of_those_that_the_judge_has_led_are_not_judged(
        page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, 'detect_faces', lambda *any: [face_of(16, 10, 40), face_of(33, 60, 5)])
    write_zoo(tmp_path / 'home' / 'networks', 'a-led-x4', 4, recognizer='dlib', template='dlib')
    fair, led = enhanced(page, looked_at(page)['key']).json['faces']
    assert (fair['network'], led['network']) == ('tiny-x8', 'a-led-x4')
    assert fair['words'][0].startswith('Change from bicubic: ') and 'evidence' in fair
    assert led['words'] == ["Not judged: dlib's recognizer led a loss of this network."] and 'evidence' not in led


def test_a_network_that_cannot_be_read_is_not_taken_for_one_that_the_judge_has_led(
        page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(path: Path) -> None:
        raise UserError(f"'{path.name}' is damaged.")
    monkeypatch.setattr(networks, 'recorded_leaders', lambda network, path: damaged(path))
    answer = enhanced(page, looked_at(page)['key'], system='tiny-x8')
    assert (answer.status, answer.json) == (422, {'error': "'tiny-x8.safetensors' is damaged."})


def test_a_changed_setting_reads_no_card_and_no_network_again(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = looked_at(page)['key']
    before = enhanced(page, key).json['faces'][0]['words']
    for module, name in ((studios, 'zoo'), (studios, 'open_enhancers'), (studios, 'load_judge'),
                         (networks, 'recorded_leaders'), (networks, 'led_by_dlib')):
        monkeypatch.setattr(module, name, None)
    assert enhanced(page, key, upscale=2).json['faces'][0]['words'] == before


def test_evidence_is_not_said_to_mean_more_than_it_does() -> None:
    assert plain_words(Evidence(0.25)) == ['Change from bicubic: 0.250.']
    assert plain_words(Evidence(0.25, 0.91, 0.9, 0.0312, 12000)) == [
        'Similarity to the reference: 0.910; bicubic: 0.900.',
        'At most 3.2 % of faces of other people are as similar, as measured on 12,000 pairs.']
    assert plain_words(Evidence(0.25, 0.8, 0.9, unknown='nobody measured it'))[1:] == [
        'Bicubic is nearer to the reference.',
        'How often faces of other people are as similar is unknown: nobody measured it.']


def test_the_command_that_is_shown_has_every_setting_that_is_not_the_default(page: Any) -> None:
    key = looked_at(page, name='our%20party%27s.png')['key']
    plain, all_set = (enhanced(page, key, **wanted).json for wanted in (
        {}, {'upscale': 2, 'strength': 0.5, 'min_face': 12.5, 'max_face': 80, 'half': True}))
    assert plain['command'] == """cface enhance 'our party'"'"'s.png' --out enhanced --faces photo --weights auto"""
    assert all_set['command'] == plain['command'] + ' --upscale 2 --strength 0.5 --min-face 12.5 --max-face 80 --half'


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims to be huge."""
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(b'\0' * 100)) + chunk(b'IEND', b''))


@pytest.mark.parametrize(('content', 'reason'), [
    (b'', 'empty file'), (b'no image', 'not an image'), (b'<svg onload="alert(1)"/>', 'not an image'),
    (png(PIXELS)[:2000], 'damaged image'), (bomb(9000, 9000), '9000x9000 pixels; expected at most 50,000,000 in all'),
    (bomb(2 ** 31 - 1, 2 ** 31 - 1), 'damaged image|pixels take'),
    (b'II*\0' + b'\xff' * 50, 'TIFF that cannot be read'),
    (png(PIXELS, icc_profile=b'no profile'), 'its colour profile is damaged; save it without')],
    ids=['empty', 'text', 'svg', 'half', 'large', 'huge', 'tiff', 'profile'])
@pytest.mark.parametrize('address', ['/photos', '/references'])
def test_a_hostile_file_gets_one_sentence_before_it_is_decoded(
        page: Any, address: str, content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if b'IHDR' in content[:30] and len(content) < 300:
        monkeypatch.setattr(photo_file, 'decode_whole', None)
    answer = ask(page, 'POST', f'{address}?name=..%2F..%2Fevil%00%1b.png', content)
    assert answer.status == 422
    assert re.match(rf"'evil\\x1b\.png' cannot be read as a photograph: .*({reason})", answer.json['error'])
    assert '\n' not in answer.json['error'] and len(answer.json['error']) <= 300


def test_a_tiff_file_that_claims_too_many_pixels_is_refused_by_its_header(
        page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[..., :3]).save(buffer, 'TIFF')
    monkeypatch.setattr(Image.Image, 'load', None)
    monkeypatch.setattr(studios, 'MOST_PIXELS', 20_000)
    answer = ask(page, 'POST', '/photos?name=a.tif', buffer.getvalue())
    assert answer.json['error'].endswith('photograph: 150x140 pixels; expected at most 20,000 in all. Make it smaller '
                                         'first.')


def test_no_more_of_an_upload_is_read_than_may_come(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, 'MOST_BYTES', 10)
    announced = ask(page, 'POST', '/photos?name=a.png', b'x' * 11)
    streamed = ask(page, 'POST', '/photos?name=a.png', [b'xxxx'] * 100)
    for answer, read in ((announced, 0), (streamed, 3)):
        assert (answer.status, answer.read) == (413, read)
        assert answer.json['error'] == 'the file has more than 10 bytes. Save it smaller, or use the command.'


def test_a_photo_without_a_face_says_how_near_it_came(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, 'detect_faces', lambda *any: [])
    answer = ask(page, 'POST', '/photos?name=a.png', png(PIXELS[..., :3]))
    assert answer.status == 422 and re.match(
        r"'a.png' shows no face: the strongest candidate has a score of \d\.\d\d, and 0.8 is asked for.",
        answer.json['error'])


@pytest.mark.parametrize(('wanted', 'reason'), [
    ({'system': '/etc/passwd'}, "network '/etc/passwd' is unknown; valid: auto, tiny-x4, tiny-x8"),
    ({'system': 'tiny-x9'}, "network 'tiny-x9' is unknown; did you mean 'tiny-x8'?"),
    ({'upscale': 9}, "option 'upscale': input should be less than or equal to 8, got 9."),
    ({'min_face': 50, 'max_face': 40}, 'expected 0 < --min-face <= --max-face, got 50 and 40.'),
    ({'strenght': 1}, "option 'strenght' is unknown; did you mean 'strength'?")], ids=str)
def test_a_setting_that_does_not_fit_gets_a_sentence(page: Any, wanted: dict[str, Any], reason: str) -> None:
    answer = enhanced(page, looked_at(page)['key'], **wanted)
    assert (answer.status, answer.json) == (422, {'error': reason})


def test_what_is_not_there_any_more_or_not_json_gets_a_sentence(page: Any) -> None:
    gone = {'error': 'this photo is not kept any more. Add it once more.', 'gone': 'gone'}
    assert enhanced(page, 'gone').json == ask(page, 'GET', '/pictures/gone.png').json == gone
    person = enhanced(page, looked_at(page)['key'], references=['old'])
    assert (person.status, person.json) == (
        422, {'error': 'this photo of the person is not kept any more. Add it once more.', 'gone': 'old'})
    assert ask(page, 'POST', '/photos/gone', b'{').json['error'].startswith('the request is not JSON')


def test_an_enlargement_that_would_be_too_large_is_refused(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, 'MOST_PIXELS', 150 * 140 * 4)
    key = looked_at(page)['key']
    assert enhanced(page, key, upscale=2).status == 200
    assert enhanced(page, key, upscale=3).json['error'] == (
        "'our party.png' would have 189,000 pixels; expected at most 84,000. Enlarge it less, or use the command.")


def test_a_failure_of_the_program_is_said_and_the_page_goes_on(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = looked_at(page)['key']
    with monkeypatch.context() as patched:
        patched.setattr(studios, 'enhance_photos', lambda *any, **more: 1 / 0)
        failed = enhanced(page, key)
    assert failed.status == 500 and failed.json['error'] == (
        'the program failed: ZeroDivisionError: division by zero. Its terminal says more.')
    assert enhanced(page, key).status == 200


def test_the_page_lists_the_networks_escaped_and_the_first_one_is_chosen(page: Any, tmp_path: Path) -> None:
    write_zoo(tmp_path / 'home' / 'networks', 'other-x8', 8, about='<script>alert(1)</script>')
    content = ask(page, 'GET', '/').body.decode()
    assert re.findall(r'type="checkbox" value="([^"]+)"( checked)?', content) == [
        ('auto', ' checked'), ('other-x8', ''), ('tiny-x4', ''), ('tiny-x8', '')]
    assert '&lt;script&gt;alert(1)' in content and '<script>alert' not in content
    assert 'No network is installed' not in content


@pytest.mark.parametrize(('device', 'offered'), [('cpu', False), ('cuda', True), ('cuda:1', True), ('mps', True)])
def test_half_precision_is_offered_where_it_gains_something(device: str, offered: bool) -> None:
    content = ask(make_app(Studio(device=device), PORT), 'GET', '/').body.decode()
    assert ('id="half"' in content) == ('--half' in content) == offered


def test_a_network_that_was_used_in_half_precision_is_whole_again_without(page: Any) -> None:
    key = looked_at(page)['key']
    faces = [enhanced(page, key, half=half).json['faces'][0]['enhanced'] for half in (False, True, False)]
    assert faces[0] == faces[2] != faces[1]


def test_without_a_network_the_page_says_in_one_line_how_to_get_one_and_faces_are_still_found(
        page: Any, tmp_path: Path) -> None:
    for card in (tmp_path / 'home' / 'networks').iterdir():
        card.unlink()
    content = ask(page, 'GET', '/').body.decode()
    assert '<code>cface models get NAME --from DIR</code>' in content and 'id="systems"' not in content
    assert len(looked_at(page)['faces']) == 3


def test_one_network_is_offered_by_its_name_only_and_files_by_theirs(tmp_path: Path) -> None:
    (tmp_path / 'home' / 'networks' / 'tiny-x4.safetensors').unlink()
    assert [system.name for system in Studio().systems()] == ['tiny-x8']
    file = str(tmp_path / 'home' / 'networks' / 'tiny-x8.safetensors')
    assert [system.name for system in Studio([file, 'tiny-x8', file]).systems()] == [file, 'tiny-x8']
    with pytest.raises(UserError, match="'missing.pth' is missing"):
        Studio(['missing.pth'])


def test_the_page_loads_its_own_files_and_nothing_else(page: Any) -> None:
    content = ask(page, 'GET', '/').body.decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', content) == ['data:,', '/page.css', '/page.js']
    for name, kind in (('page.css', 'text/css'), ('page.js', 'text/javascript')):
        answer = ask(page, 'GET', f'/{name}')
        assert answer.headers['content-type'].startswith(kind)
        assert answer.body == files('cface_basicsr.serving').joinpath(name).read_bytes()
        content += answer.body.decode()
    assert re.findall(r'https?:|url\(|@import|import\(|<style|\bstyle=|\bon\w+="|innerHTML|eval\(', content) == []
    assert ask(page, 'GET', '/../app.py').status == ask(page, 'GET', '/page.html.j2').status == 404


def test_a_port_that_is_taken_is_said_and_only_this_machine_can_connect() -> None:
    with listen(0) as at:
        name, port = at.getsockname()
        assert name == '127.0.0.1'
        with socket.create_connection((name, port), timeout=60):  # before anybody answers: the address is told by then
            pass
        with pytest.raises(UserError, match=rf'^port {port} cannot be used \(.+\). Take a free one: --port 0$'):
            listen(port)


ENDLESS = '''
import threading
from cface_basicsr.serving.app import listen, serve

class Endless:
    def look(self, content, name):
        print('computing', flush=True)
        threading.Event().wait()

with listen(0) as at:
    print(at.getsockname()[1], flush=True)
    serve(Endless(), at)
'''


def test_ctrl_c_ends_the_page_while_a_photo_is_computed() -> None:
    with subprocess.Popen([sys.executable, '-c', ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        try:
            port = int(process.stdout.readline())
            with socket.create_connection(('127.0.0.1', port)) as photo:
                here = f'127.0.0.1:{port}'
                photo.sendall(f'POST /photos?name=a HTTP/1.1\r\nHost: {here}\r\nOrigin: http://{here}\r\n'
                              'Content-Length: 1\r\n\r\nx'.encode())
                assert process.stdout.readline() == 'computing\n'
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=120)
            assert (process.returncode, said) == (0, '')
        finally:
            process.kill()
