"""Files of torch.save: what is not weights is named, and never run; one module reads them all."""

import ast
import collections
import datetime
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.errors import UserError
from cface_basicsr.files.torch_file import read_torch_file

ROOT = Path(__file__).parents[2]
READER = ROOT / 'cface_basicsr/files/torch_file.py'
UNSAFE = {'torch.load', 'torch.serialization.load', 'torch.jit.load', 'pickle.load', 'pickle.loads', 'pickle.Unpickler',
          'joblib.load', 'dill.load', 'dill.loads', 'marshal.load', 'marshal.loads', 'shelve.open'}
"""Functions that read what may hold code."""


class Mark:
    """An object whose unpickling leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (str(self.path),)


class SomeNetwork(nn.Linear):
    """A network of the test's own."""


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'as of 2017'])
@pytest.mark.parametrize(('value', 'named'), [
    (np.float64(0.99), 'numpy._core.multiarray.scalar'), (np.zeros(2), 'numpy._core.multiarray._reconstruct'),
    (SRResNet(scale=2, num_feat=2, num_block=1), 'cface_basicsr.archs.srresnet_arch.SRResNet'),
    (SomeNetwork(1, 1), f'{SomeNetwork.__module__}.SomeNetwork'), (datetime.date(2026, 1, 1), 'datetime.date'),
    (collections.defaultdict(list), 'collections.defaultdict'), (Path('/x'), 'pathlib'),
    (range(3), 'range'), (Mark(Path('/x')), 'posix.mkdir')],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__)  # the same in every process
def test_what_is_in_a_file_besides_weights_is_named_and_not_run(tmp_path: Path, value: Any, named: str,
                                                                zipped: bool) -> None:
    if isinstance(value, Mark):
        value = Mark(tmp_path / 'run')
    path = tmp_path / 'net.pth'
    torch.save({'params': {'a': torch.zeros(1)}, 'best': value}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match='^weights file .*net.pth. holds .*, so it is not read') as caught:
        read_torch_file(path, '')
    assert named in str(caught.value) and 'network.state_dict()' in str(caught.value)
    assert 'cut off' not in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / 'run').exists()


def as_script(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)


def as_protocol_4(path: Path) -> None:
    torch.save({'a': torch.zeros(1)}, path, pickle_protocol=4)


def as_plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({'a': 1}, protocol=5))


def cut_off(path: Path) -> None:
    torch.save({'a': torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def test_every_flipped_bit_of_every_record_is_noticed(tmp_path: Path) -> None:
    """torch itself reads such numbers, without a word."""
    path = tmp_path / 'a.pth'
    torch.save({'params': {'one': torch.arange(4.0), 'two': torch.arange(3)}}, path)
    whole, places = path.read_bytes(), []
    with zipfile.ZipFile(path) as file:
        for record in file.infolist():
            with file.open(record) as opened:
                start = opened._orig_compress_start
            places += [8 * (start + byte) + bit for byte in range(record.file_size) for bit in (0, 7)]
    assert len(places) > 500
    for place in places[::7]:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"^weights file '.*a.pth' is damaged"):
            read_torch_file(path, '')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(('write', 'message'), [
    (as_script, 'is a TorchScript program, not weights'), (as_protocol_4, 'with pickle protocol 4 or newer'),
    (as_plain_pickle, 'with pickle protocol 4 or newer'), (cut_off, 'cut off or not a PyTorch file'),
    (lambda path: path.touch(), 'cut off or not a PyTorch file'),
    (lambda path: path.write_text('<!DOCTYPE html>'), 'cut off or not a PyTorch file'),
    (lambda path: path.write_text('version https://git-lfs.github.com/spec/v1'), 'cut off or not a PyTorch file'),
    (lambda path: path.mkdir(), 'is a folder. Take another.'), (lambda path: None, 'is missing. Take another.')])
def test_other_files_are_refused_in_one_line(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    write(tmp_path / 'x.state')
    with pytest.raises(UserError, match=message) as caught:
        read_torch_file(tmp_path / 'x.state', 'Take another.', 'training state')
    assert str(caught.value).startswith('training state \'') and len(str(caught.value).splitlines()) == 1


def test_what_the_system_or_the_memory_refuses_is_not_called_cut_off(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({}, tmp_path / 'net.pth')

    def refuse(path: Path, **_: object) -> None:
        raise error
    monkeypatch.setattr(torch.serialization, 'load', refuse)
    error: Exception = PermissionError(13, 'Permission denied', str(tmp_path / 'net.pth'))
    with pytest.raises(PermissionError, match='Permission denied'):  # one line, with the file's name
        read_torch_file(tmp_path / 'net.pth', '')
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    with pytest.raises(UserError, match="net.pth' does not fit into the memory of this machine.$"):
        read_torch_file(tmp_path / 'net.pth', '')


def calls(path: Path) -> Iterator[str]:
    """Full names of what a module calls or passes on: dotted names, with imported ones written out."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    imported = {alias.asname or alias.name: f'{node.module}.{alias.name}' for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) for alias in node.names}
    imported |= {alias.asname: alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)):
            first, _, rest = ast.unparse(node).partition('.')
            yield imported.get(first, first) + ('.' + rest if rest else '')


def test_the_walk_finds_a_call_under_any_name(tmp_path: Path) -> None:
    for code in ('import torch\ntorch.load("x")', 'from torch import load as read\nread("x")',
                 'import torch as t\nt.load("x")', 'from torch import serialization\nserialization.load("x")',
                 'import pickle\nread = pickle.loads'):
        (tmp_path / 'x.py').write_text(code)
        assert UNSAFE & set(calls(tmp_path / 'x.py')), code


def test_only_one_module_reads_what_torch_saved_and_none_unpickles() -> None:
    modules = [path for room in ('cface_basicsr', 'performance', 'docs', 'scripts')
               for path in (ROOT / room).rglob('*.py')]
    found = {str(path.relative_to(ROOT)): UNSAFE & set(calls(path)) for path in modules}
    assert {path: names for path, names in found.items() if names} == {
        str(READER.relative_to(ROOT)): {'torch.serialization.load'}}
    call = next(node for node in ast.walk(ast.parse(READER.read_text())) if isinstance(node, ast.Call)
                and ast.unparse(node.func) == 'torch.serialization.load')
    assert {key.arg: ast.unparse(key.value) for key in call.keywords}['weights_only'] == 'True'
