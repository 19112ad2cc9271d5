"""Freed memory of large tensors is used again; devices and modes."""

import platform
import subprocess
import sys

import pytest
import torch

from cface_basicsr.errors import UserError
from cface_basicsr.runtime import eval_mode, pick_device

_FAULTS = """
import resource, sys, torch
if 'keep' in sys.argv:
    from cface_basicsr.runtime import keep_freed_memory
    assert keep_freed_memory()
network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.PReLU())
faces = torch.rand(40, 3, 128, 128)  # 42 MB a layer
for step in range(16):
    if step == 8:  # by then the heap has found its size
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    network(faces).mean().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(*arguments: str) -> int:
    done = subprocess.run([sys.executable, '-c', _FAULTS, *arguments], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library than glibc')
def test_a_training_step_takes_the_pages_that_the_last_one_left() -> None:
    assert 4 * _faults('keep') < _faults()  # not none: a kernel may take pages back by itself


def test_a_device_that_is_not_there_is_refused_with_the_way_out() -> None:
    assert pick_device('cpu') == torch.device('cpu')
    with pytest.raises(UserError, match="--device 'nonsense' cannot be used here: .*Try --device cpu"):
        pick_device('nonsense')


def test_a_network_comes_back_from_evaluation_in_the_mode_it_had() -> None:
    network = torch.nn.Dropout()
    for training in (True, False):
        network.train(training)
        with eval_mode(network):
            assert not network.training
        assert network.training is training
    with eval_mode(torch.relu):  # another callable has no mode
        pass
