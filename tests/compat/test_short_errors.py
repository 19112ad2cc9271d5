"""Bad input ends in one to three lines and exit code 2."""

import sys

import lmdb
import pytest

from cface_basicsr.compat.short_errors import short_message
from cface_basicsr.errors import UserError
from tests.compat.tiny_training import holds_by_row, patched


def test_bad_input_ends_in_its_message_and_exit_code_2(capsys: pytest.CaptureFixture) -> None:
    def check() -> None:
        with pytest.raises(SystemExit) as ending:
            sys.excepthook(UserError, UserError('expected this,\ngot that.'), None)
        assert ending.value.code == 2
        assert capsys.readouterr().err == 'cface: expected this,\ngot that.\n'

    holds_by_row(check, 'short-errors', defect=pytest.fail.Exception)


def test_what_the_system_refuses_ends_in_one_line(capsys: pytest.CaptureFixture) -> None:
    def check() -> None:
        with pytest.raises(SystemExit) as ending:
            sys.excepthook(OSError, OSError(28, 'No space left on device', 'net_g.pth'), None)
        assert ending.value.code == 2
        assert capsys.readouterr().err == ("cface: 'net_g.pth': No space left on device. Make room there, or choose "
                                           'another disk, and start again.\n')

    holds_by_row(check, 'short-errors', defect=pytest.fail.Exception)


@pytest.mark.parametrize(('error', 'said'), [
    (MemoryError('9 GB'), 'cface: there is not enough memory (MemoryError: 9 GB). Give it less at a time, '),
    (lmdb.MapFullError('a put'), 'cface: MapFullError: a put. Is the disk full?')])
def test_what_the_memory_or_lmdb_refuse_ends_in_one_line(
        capsys: pytest.CaptureFixture, error: Exception, said: str) -> None:
    with patched(), pytest.raises(SystemExit) as ending:
        sys.excepthook(type(error), error, None)
    printed = capsys.readouterr().err
    assert ending.value.code == 2 and printed.startswith(said) and printed.count('\n') == 1


def test_any_other_error_keeps_its_traceback(capsys: pytest.CaptureFixture) -> None:
    with patched():
        sys.excepthook(KeyError, KeyError('lq'), None)
    assert "KeyError: 'lq'" in capsys.readouterr().err


def test_an_error_from_a_worker_loses_the_traceback_that_torch_put_around_it() -> None:
    wrapped = UserError('Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent call):\n'
                        '  File "x.py"\ncface_basicsr.errors.UserError: LMDB is missing.\nMake it.\n')
    assert short_message(wrapped) == 'LMDB is missing.\nMake it.'
