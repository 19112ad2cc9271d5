"""One tiny data folder for all models."""

from pathlib import Path

import pytest

from tests.tiny_stages import write_tiny_data


@pytest.fixture(scope='session')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four identities of three faces, a compare index, and a recognizer with its classifier."""
    return write_tiny_data(tmp_path_factory.mktemp('tiny'))
