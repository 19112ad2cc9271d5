"""Photographs of noise, written as the tests of `cface prepare` need them."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def write_photo(path: Path, width: int = 40, height: int = 40) -> None:
    """Write a photograph whose noise depends on the last three parts of its path; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32('/'.join(path.parts[-3:]).encode())
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path, quality=95)


def pixels(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) RGB of a file."""
    return np.asarray(Image.open(path).convert('RGB'))
