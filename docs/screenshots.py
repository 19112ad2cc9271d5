"""Makes docs/page_light.png and docs/page_dark.png, the page of `cface serve` after a photograph was dropped on it:
`python docs/screenshots.py`. It needs playwright, and Chromium or Chrome.

The photograph is scikit-image's `astronaut` (NASA, public domain) at a quarter of its size, between two synthetic
people. The page has the networks of the package and those of models/photos.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from cface_basicsr.data.generated_faces.render import render_photo

ROOT = Path(__file__).parents[1]
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
SIZE = (1100, 1130)
"""Width and height of the window, in pixels."""
COLOURS = 256
"""Of a picture: all of them would take three times the bytes."""


def party() -> NDArray[np.uint8]:
    """uint8 (160, 400, 3): three people, whose faces are about 18, 30 and 45 pixels high, in front of a wall."""
    shade = np.linspace((126, 134, 140), (92, 98, 106), 160)[:, None]
    scene = np.repeat(shade, 400, 1).round().astype(np.uint8)
    for photo, side, left, top in ((render_photo(3, 0, seed=99), 40, 40, 70), (skimage.data.astronaut(), 128, 120, 32),
                                   (render_photo(8, 0, seed=99), 100, 280, 40)):
        scene[top:top + side, left:left + side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return scene


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of `cface serve`, which knows the networks of the package and those of models/photos."""
    shutil.copytree(ROOT / 'models/photos', folder / 'home/networks')
    words = [sys.executable, '-m', 'cface_basicsr', 'serve', '--port', '0', '--device', 'cpu']
    process = subprocess.Popen(words, env={**os.environ, 'CFACE_HOME': str(folder / 'home')}, text=True,
                               stdout=subprocess.PIPE)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def take(browser: Browser, address: str, photo: Path, scheme: str) -> Path:
    """A picture of the page in a colour scheme, light or dark, after a photograph was enlarged four times."""
    page: Page = browser.new_page(viewport=dict(zip(('width', 'height'), SIZE, strict=True)), color_scheme=scheme)
    page.set_default_timeout(300_000)
    page.goto(address)
    page.set_input_files('#photo', photo)
    page.locator('#download').wait_for()
    page.click('#settings summary')
    page.select_option('#upscale', '4')
    page.locator('#command code', has_text='--upscale 4').wait_for(state='attached')
    page.locator('#status', has_text='enlarged.').wait_for()
    page.evaluate('scrollTo(0, 0)')
    path = ROOT / f'docs/page_{scheme}.png'
    page.screenshot(path=path)
    page.close()
    Image.open(path).convert('RGB').quantize(COLOURS).save(path, optimize=True)
    return path


def main() -> None:
    """Make both pictures."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        photo = Path(name, 'party.png')
        Image.fromarray(party()).save(photo)
        with served(Path(name)) as address:
            browser = driver.chromium.launch(executable_path=program, args=['--no-sandbox'])
            for scheme in ('light', 'dark'):
                print(take(browser, address, photo, scheme))
            browser.close()


if __name__ == '__main__':
    main()
