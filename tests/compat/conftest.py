"""A checkout of BasicSR."""

import os
import shutil
from pathlib import Path

import pytest


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
