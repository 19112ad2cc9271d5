"""Freed memory of large tensors is used again; devices and modes."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cface_basicsr import runtime
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import _quotas, cores, eval_mode, pick_device, start_computing

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


@pytest.mark.parametrize(('membership', 'files', 'quotas'), [
    ('0::/a/b\n', {'a/b/cpu.max': '150000 100000\n', 'a/cpu.max': 'max 100000\n'}, [1.5]),
    ('0::/a/b\n', {'a/b/cpu.max': 'max 100000\n', 'a/cpu.max': '400000 100000\n'}, [4.0]),  # the one above counts too
    ('0::/\n', {'cpu.max': '200000 100000\n'}, [2.0]),  # as a container sees itself
    ('4:memory:/m\n2:cpu,cpuacct:/job\n', {'cpu,cpuacct/job/cpu.cfs_quota_us': '250000\n',
                                          'cpu,cpuacct/job/cpu.cfs_period_us': '100000\n'}, [2.5]),
    ('2:cpu:/\n', {'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n'}, []),
    ('0::/\n', {'cpu.max': 'nonsense'}, []), ('', {}, []),
])
def test_a_quota_of_a_cgroup_is_a_number_of_cores(tmp_path: Path, membership: str, files: dict[str, str],
                                                 quotas: list[float]) -> None:
    (tmp_path / 'self').write_text(membership)
    for name, text in files.items():
        (tmp_path / 'cgroup' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'cgroup' / name).write_text(text)
    assert list(_quotas(tmp_path / 'self', tmp_path / 'cgroup')) == quotas


def test_a_process_has_the_cores_that_affinity_and_quota_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: set(range(8)), raising=False)
    for quotas, expected in (([], 8), ([1.5], 2), ([0.1], 1), ([16.0], 8), ([4.0, 3.0], 3)):
        monkeypatch.setattr(runtime, '_quotas', lambda *_, quotas=quotas: iter(quotas))
        assert cores() == expected


@pytest.mark.parametrize(('given', 'spins'), [({}, '30000'), ({'GOMP_SPINCOUNT': '7'}, '7'),
                                              ({'OMP_WAIT_POLICY': 'active'}, '30000000000')])
@pytest.mark.parametrize('words', [['cface_basicsr', 'doctor'], ['cface_basicsr.train', '--help']])
def test_threads_that_wait_sleep_soon_unless_the_environment_says_otherwise(
        given: dict[str, str], spins: str, words: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if 'OMP' not in name}
    done = subprocess.run([sys.executable, '-m', *words], capture_output=True, text=True,
                          env=environment | given | {'OMP_DISPLAY_ENV': 'verbose'})
    if 'GOMP_SPINCOUNT' not in done.stderr:
        pytest.skip("torch's OpenMP is not GNU's")
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {spins}


def test_torch_takes_no_more_threads_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        for there, threads, expected in ((1, 2, 1), (4, 2, 2)):
            monkeypatch.setattr(runtime, 'cores', lambda there=there: there)
            torch.set_num_threads(threads)
            start_computing()
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
