"""No file from outside ends in a traceback, ends or stops the process, or takes more memory than is stated."""

import os
import random
import tempfile
import time
from pathlib import Path

import pytest

from cface_basicsr.errors import UserError
from tests.fuzz import harness
from tests.fuzz.harness import Reader, hostile, part_of, try_inputs
from tests.fuzz.readers import READERS

CORPUS = Path(__file__).with_name('corpus')
FOUND = sorted(path for path in CORPUS.rglob('*') if path.is_file() and path.parent.name in READERS)
INPUTS = int(os.environ.get('FUZZ_INPUTS', 2000))
SEED = int(os.environ.get('FUZZ_SEED', 0))


@pytest.mark.parametrize('name', READERS)
def test_a_valid_file_is_read(tmp_path: Path, name: str) -> None:
    """Some need what is not there (data, a network of known layers): they are read, and then refused."""
    path = READERS[name].write(tmp_path)
    found, = try_inputs(READERS[name], path, [path.read_bytes()])
    assert found.outcome == ('refused' if name in ('results', 'caffe') else 'read'), found.detail


@pytest.mark.parametrize('path', FOUND, ids=lambda path: f'{path.parent.name}-{path.name}')
def test_what_once_failed_is_read_or_refused_in_words(tmp_path: Path, path: Path) -> None:
    reader = READERS[path.parent.name]
    found, = try_inputs(reader, reader.write(tmp_path), [path.read_bytes()])
    assert not found.failed, f'{found.outcome}: {found.detail}'


@pytest.mark.parametrize('name', READERS)
def test_hostile_files_are_read_or_refused_in_words(tmp_path: Path, name: str) -> None:
    reader, path = READERS[name], READERS[name].write(tmp_path)
    valid = path.read_bytes()
    contents = [hostile(reader, valid, SEED, number) for number in range(part_of(name, READERS, INPUTS))]
    failed = [found for found in try_inputs(reader, path, contents) if found.failed]
    if failed and (kept := os.environ.get('FUZZ_KEEP')):
        for found in failed:
            Path(kept, f'{name}.{found.number}').write_bytes(contents[found.number])
    assert failed == []


def _misbehave(path: Path) -> object:
    what = path.read_text()
    if what == 'crash':
        os.abort()
    if what == 'hang':
        while True:
            pass
    if what == 'sleep':
        time.sleep(99)
    if what == 'memory':
        return b'x' * (harness.MOST_MEMORY * 3 // 2)
    if what == 'traceback':
        raise KeyError(what)
    if what != 'read':
        words = 'word ' * 100
        raise UserError({'unnamed': 'no.', 'lost': f"{words}'{path}' {words}", 'lines': f"'{path}'\n\n\n.",
                         'refused': f"'{path}' \x1b[2J."}[what])
    return None


def test_the_harness_sees_each_way_to_fail_and_goes_on_after_it(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, 'MOST_SECONDS', 1.0)
    monkeypatch.setattr(harness, 'MOST_MEMORY', 1 << 26)
    reader = Reader(lambda folder: folder / 'x', _misbehave, lambda content, chance: content)
    (tmp_path / 'x').touch()
    ways = ['read', 'crash', 'refused', 'hang', 'sleep', 'traceback', 'memory', 'unnamed', 'lost', 'lines', 'read']
    found = [each.outcome for each in try_inputs(reader, tmp_path / 'x', [way.encode() for way in ways])]
    assert found == ['read', 'crash', 'refused', 'hang', 'hang', 'traceback', 'memory', *['message'] * 3, 'read']


def test_inputs_are_the_same_for_the_same_seed_and_number(tmp_path: Path) -> None:
    for name in ('options', 'photo_png', 'store'):
        valid = READERS[name].write(Path(tempfile.mkdtemp(dir=tmp_path))).read_bytes()
        made = [hostile(READERS[name], valid, 5, number) for number in range(30)]
        random.seed(9)
        assert made == [hostile(READERS[name], valid, 5, number) for number in range(30)]
        assert len(set(made)) > 20
