"""The page in a real browser, as a person uses it: drop, see, judge, download, by mouse and by keys."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
from performance.landmarks import seen_faces
from tests.serving.asgi import PORT, ask
from tests.zoo.made_up_networks import write_zoo

playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
pytest.importorskip('uvicorn', reason='the page needs uvicorn')
from cface_basicsr.serving.app import make_app  # noqa: E402
from cface_basicsr.serving.studio import Studio  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason='neither chromium nor google-chrome is on PATH')
MILLISECONDS = 300_000  # a busy machine is no defect
HEIGHTS = (13, 14, 28)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph with three synthetic faces, another photo of one of them, and two networks."""
    folder = tmp_path_factory.mktemp('serving')
    write_synthetic_faces(folder / 'drawn', TreeSettings(identities=3, images=2))
    drawn = sorted((folder / 'drawn').glob('*/*.jpg'))
    (folder / 'person').mkdir()
    shutil.copy(drawn[1], folder / 'person')
    scene = cv2.resize(np.random.default_rng(0).integers(60, 200, (3, 5, 3)).astype(np.uint8), (400, 160),
                       interpolation=cv2.INTER_CUBIC)
    for number, (height, (photo, row)) in enumerate(zip(HEIGHTS, seen_faces(folder / 'drawn')[::2], strict=True)):
        side, left = round(250 * height / (row[3] - row[1])), 30 + 110 * number
        scene[30:30 + side, left:left + side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    Image.fromarray(scene).save(folder / 'our party.png')
    (folder / 'evil.png').write_bytes(b'<svg onload="alert(1)"/>')
    for scale in (4, 8):
        write_zoo(folder / 'home' / 'networks', f'tiny-x{scale}', scale)
    (folder / 'temporary').mkdir()
    return folder


def environment(folder: Path) -> dict[str, str]:
    compiled = str(folder.parent / 'inductor')  # a folder that PyTorch makes whenever its compiler is imported
    return {**os.environ, 'CFACE_HOME': str(folder / 'home'), 'TMPDIR': str(folder / 'temporary'),
            'TORCHINDUCTOR_CACHE_DIR': compiled}


@pytest.fixture(scope='module')
def address(folder: Path) -> Iterator[str]:
    """Where `cface serve` is; when it has ended, it has left no file."""
    words = ['serve', '--port', '0', '--device', 'cpu', '--weights', 'tiny-x8', '--weights', 'tiny-x4']
    process = subprocess.Popen([sys.executable, '-m', 'cface_basicsr', *words], env=environment(folder), cwd=folder,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = sorted(folder.rglob('*'))
    try:
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=MILLISECONDS / 1000)
        assert (process.returncode, said) == (0, '')
        assert sorted(folder.rglob('*')) == before
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        here = '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'
        found = driver.chromium.launch(executable_path=BROWSER, args=['--no-sandbox', '--disable-dev-shm-usage', here])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, newly opened; whatever the browser complains about fails the test, as does a word to another site."""
    context = browser.new_context(accept_downloads=True)
    page, said, asked = context.new_page(), [], []
    page.set_default_timeout(MILLISECONDS)
    page.on('console', lambda message: said.append(message.text))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on('request', lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert [text for text in said if 'status of 422' not in text] == []
    assert [url for url in asked if not url.startswith((f'{address}/', 'data:'))] == []


def drop(page: Any, path: Path, name: str = '') -> None:
    """Drop a file onto the page, as from a folder's window."""
    page.evaluate("""([name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], name));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""", [name or path.name, list(path.read_bytes())])


def wait(page: Any) -> None:
    page.locator('body:not(.busy)').wait_for()
    page.locator('#status', has_text='found').wait_for()


def downloaded(page: Any) -> tuple[str, bytes]:
    with page.expect_download() as coming:
        page.click('#download')
    return coming.value.suggested_filename, Path(coming.value.path()).read_bytes()


def written_by(command: str, folder: Path, out: Path) -> bytes:
    """The file that the command which the page shows writes."""
    words = shlex.split(command.replace('photos_of_the_person', 'person').replace('--out enhanced', f'--out {out}'))
    subprocess.run([sys.executable, '-m', 'cface_basicsr', *words[1:], '--device', 'cpu'], cwd=folder, check=True,
                   env=environment(folder), capture_output=True)
    return (out / 'our party.png').read_bytes()


def test_a_photo_is_dropped_its_faces_are_seen_and_the_download_is_what_the_command_writes(
        page: Any, folder: Path, tmp_path: Path) -> None:
    drop(page, folder / 'our party.png')
    wait(page)
    heights = [int(text.removesuffix(' px')) for text in page.locator('.mark').all_inner_texts()]
    assert all(abs(seen - true) < 0.25 * true for seen, true in zip(heights, HEIGHTS, strict=True))
    assert page.locator('h3').all_inner_texts() == [
        f'Face {number} · {height} pixels high' for number, height in enumerate(heights, 1)]
    assert page.inner_text('#status') == '3 faces found, 2 enlarged.'
    cards = page.locator('.face').all_inner_texts()
    assert all(re.search(r'before\nbicubic, from 16×16 pixels\ntiny-x8\nChange from bicubic: \d\.\d{3}\.\n'
                         "Aligned to ArcFace's template: the network's file does not say how .*$", card)
               for card in cards[:2])
    assert 'use one for x4 or x2' in cards[2]
    assert page.locator('.mark.left-out').count() == 1
    name, content = downloaded(page)
    assert name == 'our party.png' and Image.open(io.BytesIO(content)).size == (400, 160)
    assert content == written_by(page.text_content('#command code'), folder, tmp_path)


def test_systems_are_side_by_side_and_a_photo_of_the_person_gives_similarities(
        page: Any, folder: Path, tmp_path: Path) -> None:
    page.set_input_files('#photo', folder / 'our party.png')
    wait(page)
    told = page.locator('.about', has_text='For tests; it knows no face.')
    opened = "all => all.filter(each => each.open).map(each => each.dataset.network)"
    assert (told.count(), told.evaluate_all(opened)) == (2, ['tiny-x8'])
    page.check('#systems input[value="tiny-x4"]')
    wait(page)
    assert told.evaluate_all(opened) == ['tiny-x8', 'tiny-x4']
    titles = page.locator('.face').nth(1).locator('b').all_inner_texts()
    assert titles == ['before', 'tiny-x8', 'before', 'tiny-x4']
    assert re.search(r'Left as it is by tiny-x8: [\d.]+ pixels high', page.locator('.face').nth(2).inner_text())
    page.set_input_files('#reference', next((folder / 'person').iterdir()))
    page.locator('#references img').wait_for()
    page.click('#settings summary')
    page.check('#gate')
    page.select_option('#upscale', '2')
    page.locator('.face', has_text='Similarity to the reference').nth(2).wait_for()
    wait(page)
    page.select_option('#shown', 'tiny-x4')
    texts = page.locator('.face').all_inner_texts()
    assert all(re.search(r'Similarity to the reference: -?\d\.\d{3}; bicubic: -?\d\.\d{3}\.', text) for text in texts)
    assert all('is unknown: the network\'s card has no impostor scores for faces of' in text for text in texts)
    assert not any('Change from bicubic' in text for text in texts)
    for text in texts:
        assert text.count('Bicubic is nearer to the reference.') == text.count('The bicubic face was put back.')
    assert any('The bicubic face was put back.' in text for text in texts)
    _, content = downloaded(page)
    assert Image.open(io.BytesIO(content)).size == (800, 320)
    command = page.text_content('#command code')
    assert '--weights tiny-x4 --upscale 2 --reference photos_of_the_person --gate keep' in command
    assert content == written_by(command, folder, tmp_path)


def test_a_hostile_file_gets_a_sentence_and_the_next_photo_is_taken(page: Any, folder: Path) -> None:
    drop(page, folder / 'evil.png')
    page.locator('#error').wait_for()
    assert page.inner_text('#error') == "'evil.png' cannot be read as a photograph: not an image."
    drop(page, folder / 'our party.png')
    wait(page)
    assert page.locator('#error').is_hidden() and page.locator('.mark').count() == 3


def of_one_network(page: Any, answer: Any) -> None:
    """Have `answer` say what comes back for a network, by what was sent; None: what the program says."""
    def route(each: Any) -> None:
        told = answer(each.request.post_data_json)
        each.fulfill(status=422, json=told) if told else each.continue_()
    page.route(re.compile(r'/photos/[^?]+$'), route)


def test_why_a_photo_of_the_person_is_refused_stays_and_nothing_is_computed_for_it(page: Any, folder: Path) -> None:
    drop(page, folder / 'our party.png')
    wait(page)
    sent = []
    page.on('request', lambda request: sent.append(request.url) if request.method == 'POST' else None)
    page.set_viewport_size({'width': 1000, 'height': 400})
    page.evaluate('scrollTo(0, document.body.scrollHeight)')
    page.set_input_files('#reference', folder / 'evil.png')
    page.locator('#error').wait_for()
    page.wait_for_timeout(600)  # changed settings wait for 300 ms
    place = page.locator('#error').bounding_box()
    assert page.evaluate('scrollY') > 100 and 0 <= place['y'] <= 400 - place['height']  # it is seen from everywhere
    assert page.inner_text('#error') == "'evil.png' cannot be read as a photograph: not an image."
    assert page.inner_text('#status') == '3 faces found, 2 enlarged.' and page.locator('#download').is_visible()
    assert [url.rpartition('/')[2] for url in sent] == ['references?name=evil.png']
    page.check('#systems input[value="tiny-x4"]')
    assert page.locator('#error').is_hidden()


def test_a_new_photo_is_taken_though_a_setting_of_the_old_one_is_changed_meanwhile(page: Any, folder: Path) -> None:
    drop(page, folder / 'our party.png')
    wait(page)
    held = []
    page.route(re.compile(r'/photos\?'), lambda route: held.append(route))
    drop(page, folder / 'our party.png', 'other.png')
    page.click('#settings summary')
    page.select_option('#upscale', '2')
    page.wait_for_timeout(600)
    held.pop().continue_()
    page.locator('#command code', has_text='other.png').wait_for(state='attached', timeout=30_000)
    wait(page)
    assert '--upscale 2' in page.text_content('#command code')


def test_a_network_that_is_refused_does_not_stop_the_others(page: Any, folder: Path) -> None:
    of_one_network(page, lambda sent: {'error': 'tiny-x8 is damaged.'} if sent['system'] == 'tiny-x8' else None)
    drop(page, folder / 'our party.png')
    wait(page)
    page.check('#systems input[value="tiny-x4"]')
    page.locator('.face b', has_text='tiny-x4').first.wait_for(timeout=30_000)
    wait(page)
    assert page.inner_text('#error') == 'tiny-x8 is damaged.'


def test_a_photo_of_the_person_that_is_gone_is_dropped_and_the_page_goes_on(page: Any, folder: Path) -> None:
    of_one_network(page, lambda sent: {'error': 'it is gone.', 'gone': sent['references'][0]} if sent['references']
                   else None)
    drop(page, folder / 'our party.png')
    wait(page)
    page.set_input_files('#reference', next((folder / 'person').iterdir()))
    page.locator('#error', has_text='it is gone.').wait_for()
    page.locator('#references img').wait_for(state='detached', timeout=30_000)
    wait(page)
    assert page.inner_text('#error') == 'it is gone.' and page.inner_text('#status') == '3 faces found, 2 enlarged.'
    assert page.locator('#gate').is_hidden()


def test_half_precision_is_a_switch_where_it_is_offered(
        page: Any, address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page.locator('#half').count() == 0  # the networks run on the CPU
    monkeypatch.setenv('CFACE_HOME', str(folder / 'home'))
    with ThreadPoolExecutor(1) as aside:  # playwright has a loop in this one
        offers = aside.submit(ask, make_app(Studio(['tiny-x8'], 'cuda'), PORT), 'GET', '/').result().body.decode()
    page.route(f'{address}/', lambda route: route.fulfill(body=offers, content_type='text/html'))
    page.goto(f'{address}/')
    drop(page, folder / 'our party.png')
    wait(page)
    usual = downloaded(page)[1]
    page.click('#settings summary')
    page.check('#half')
    page.locator('#command code', has_text='--half').wait_for(state='attached')
    wait(page)
    content = downloaded(page)[1]
    assert content == written_by(page.text_content('#command code'), folder, tmp_path) != usual


def test_the_page_can_be_used_by_keys_and_fits_a_phone(page: Any, folder: Path) -> None:
    page.set_viewport_size({'width': 390, 'height': 844})
    page.keyboard.press('Tab')
    assert page.evaluate('document.activeElement.id') == 'photo'
    page.set_input_files('#photo', folder / 'our party.png')
    wait(page)
    assert page.evaluate('document.activeElement.id') == 'stage'
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    seen = []
    for _ in range(40):
        page.keyboard.press('Tab')
        seen.append(page.evaluate('document.activeElement.id || document.activeElement.classList[0]'))
        if seen[-1] == 'reference':
            break
    assert [each for each in seen if each in ('mark', 'split', 'reference')] == ['mark'] * 3 + ['split', 'reference']
    page.focus('#split')
    page.keyboard.press('Home')
    assert page.evaluate("document.getElementById('frame').style.getPropertyValue('--split')") == '0%'


def test_another_page_can_neither_send_a_photo_nor_read_anything(browser: Any, page: Any, address: str) -> None:
    """A page at another port of this machine, as another program of it may serve one."""
    context = browser.new_context()
    other = context.new_page()
    other.route('http://127.0.0.1:9/', lambda route: route.fulfill(body='<p>another page', content_type='text/html'))
    other.goto('http://127.0.0.1:9/')
    for request in ("'/photos?name=a.png', {method: 'POST', body: 'x'}", "'/page.js', {}",
                    "'/photos?name=a.png', {method: 'POST', body: 'x', mode: 'no-cors'}"):
        call = f"address => fetch(address + {request}).then(answer => answer.type, () => 'refused')"
        assert (other.evaluate(call, address), page.evaluate(call, address)) == ('refused', 'basic')
    context.close()
