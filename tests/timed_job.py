"""Sides of a race for the tests, in a module that imports nothing large."""

import os
import time
from collections.abc import Callable


def make_slow(seconds: float) -> Callable[[], str]:
    """A job that takes a while, prints, and returns the number of threads that it was given."""
    def job() -> str:
        print('what a job prints is no answer')
        time.sleep(seconds)
        return os.environ['OMP_NUM_THREADS']
    return job


def make_broken() -> Callable[[], None]:
    """A side that cannot get ready."""
    raise ValueError('cannot get ready')
