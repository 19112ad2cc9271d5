"""One tiny data folder for all trainings, and the checkout of BasicSR that tests/compat makes."""

from pathlib import Path

import pytest

from tests.compat.conftest import clone  # noqa: F401  a fixture
from tests.tiny_stages import write_tiny_data


@pytest.fixture(scope='session')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four identities of three faces, a compare index, and a recognizer with its classifier."""
    return write_tiny_data(tmp_path_factory.mktemp('tiny'))
