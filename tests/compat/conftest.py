"""Pictures to train on, and a checkout of BasicSR."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope='session')
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gt/ and lq/ with eleven pictures of 16x16 and 4x4 pixels."""
    folder = tmp_path_factory.mktemp('pictures')
    random = np.random.default_rng(0)
    for name, size in (('gt', 16), ('lq', 4)):
        (folder / name).mkdir()
        for number in range(11):
            image = random.integers(0, 256, (size, size, 3), np.uint8)
            cv2.imwrite(str(folder / name / f'{number:02d}.png'), image)
    return folder


@pytest.fixture(scope='session')
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of BasicSR: the one that BASICSR_CLONE names, or else the installed package laid out as one."""
    folder = tmp_path_factory.mktemp('clone')
    found = os.environ.get('BASICSR_CLONE')
    if found:
        package = Path(found) / 'basicsr'
    else:
        import basicsr
        package = Path(basicsr.__file__).parent
    shutil.copytree(package, folder / 'basicsr', ignore=shutil.ignore_patterns('__pycache__'))
    version = folder / 'basicsr' / 'version.py'
    if not version.exists():  # a clone has none until its setup.py ran
        version.write_text("__version__ = '1.4.2'\n__gitsha__ = 'unknown'\nversion_info = (1, 4, 2)\n")
    return folder
