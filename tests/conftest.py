"""What every test may count on: one thread, seeded generators, no network."""

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

os.environ.setdefault('OMP_NUM_THREADS', '1')  # also for the processes that tests start

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from cface_basicsr.compat.before_import import patch_functional_tensor  # noqa: E402

patch_functional_tensor()
torch.set_num_threads(1)
# A busy machine is no defect.
settings.register_profile('here', deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('here')


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """`cface` tells the processes that it will start not to look into the working folder; not those of later tests."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only connections within this machine."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        here = not isinstance(address, tuple) or str(address[0]) in ('127.0.0.1', '::1', 'localhost')
        assert here, f'a test must not use the network, but connects to {address}'
        return connect(self, address)

    monkeypatch.setattr(socket.socket, 'connect', connect_here)
    yield


@pytest.fixture
def group_of_one() -> Iterator[None]:
    """This process as the only rank of a training, so that DDP can wrap networks."""
    torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


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
