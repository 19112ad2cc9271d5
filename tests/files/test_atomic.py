"""A file is the old one or the new one, whatever happens; a folder belongs to one process at a time."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import lock, replacing, reserve, write_json, write_text


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with replacing(path) as aside:
        aside.write_text('new')
        assert path.read_text() == 'old'
    assert path.read_text() == 'new' and list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(RuntimeError), replacing(path) as aside:
        aside.write_text('half')
        raise RuntimeError
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_replaced_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    code = f"""
import os
from cface_basicsr.files.atomic import replacing
with replacing({str(path)!r}) as aside:
    aside.write_text('half')
    os._exit(9)
"""
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 9
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1
    write_text(path, 'whole')
    assert path.read_text() == 'whole' and list(tmp_path.iterdir()) == [path]


def test_names_that_are_not_utf8_and_line_ends_come_back_as_they_were(tmp_path: Path) -> None:
    write_text(tmp_path / 'a', 'caf\udce9\r\n')
    assert (tmp_path / 'a').read_bytes() == b'caf\xe9\r\n'


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='not JSON compliant'):
        write_json(tmp_path / 'a.json', {'a': float('nan')})
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    code = f'from cface_basicsr.files.atomic import lock\nwith lock({str(tmp_path)!r}): pass'
    with lock(tmp_path):
        done = subprocess.run([sys.executable, '-c', code], check=False, capture_output=True, text=True)
        assert f"another process is writing '{tmp_path}'" in done.stderr
        with pytest.raises(UserError, match='^busy: .*Wait'), lock(tmp_path, 'busy: {}. Wait.'):
            pass
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_where_folders_cannot_be_locked_a_file_in_them_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, which locks only what is open for writing."""
    flock = fcntl.flock

    def of_nfs(descriptor: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, 'Bad file descriptor')
        flock(descriptor, how)
    monkeypatch.setattr(fcntl, 'flock', of_nfs)
    for _ in range(2):
        with lock(tmp_path), pytest.raises(UserError, match='another process is writing'), lock(tmp_path):
            pass


@pytest.mark.parametrize('number', [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
def test_a_file_system_without_locks_is_not_called_busy(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As Lustre that is mounted without -o flock."""
    def without(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(fcntl, 'flock', without)
    opened = len(os.listdir('/proc/self/fd'))
    with pytest.raises(UserError) as refused, lock(tmp_path):
        pytest.fail('went on without a lock')
    assert str(refused.value).startswith(f"'{tmp_path}' is on a file system without locks ({os.strerror(number)}), so ")
    assert 'another disk' in str(refused.value) and 'is writing' not in str(refused.value)
    assert len(os.listdir('/proc/self/fd')) == opened


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device: '.*a.txt'"), replacing(tmp_path / 'a.txt'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No such file.*: 'b'"), replacing(tmp_path / 'a.txt'):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), 'b')


def test_room_is_kept_without_a_change_of_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / 'a'
    reserve(path, 10_000)
    assert path.read_bytes() == bytes(10_000) and path.stat().st_blocks * 512 >= 10_000
    path.write_bytes(b'x' * 20_000)
    reserve(path, 10_000)
    assert path.read_bytes() == b'x' * 20_000


def test_where_room_cannot_be_kept_the_work_goes_on_and_a_full_disk_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(number: int) -> None:
        def refuse(*arguments: int) -> None:
            raise OSError(number, os.strerror(number))
        monkeypatch.setattr(os, 'posix_fallocate', refuse)
    says(errno.EOPNOTSUPP)
    reserve(tmp_path / 'a', 100)
    says(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left on device: '.*/a'"):
        reserve(tmp_path / 'a', 100)
