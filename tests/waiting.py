"""Waiting for something that another process or thread does."""

import time
from collections.abc import Callable

import pytest


def wait_until(condition: Callable[[], bool], seconds: int = 30) -> None:
    """Fail where it does not come about within so many seconds."""
    for _ in range(100 * seconds):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail('it did not happen')
