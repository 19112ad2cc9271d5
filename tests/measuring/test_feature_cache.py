"""What is kept: nobody waits twice for a feature, and nothing that decides it may change unnoticed."""

import linecache
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.archs.sphereface20_arch import SphereFace20
from cface_basicsr.archs.srresnet_arch import SRResNet
from cface_basicsr.errors import UserError
from cface_basicsr.files.face_store import FaceStore, encode_png
from cface_basicsr.files.identities import read_identities
from cface_basicsr.files.network_file import save_atomically
from cface_basicsr.files.store_writer import StoreWriter
from cface_basicsr.measuring import feature_cache
from cface_basicsr.measuring.evaluate import evaluate_request
from cface_basicsr.measuring.feature_cache import _File
from cface_basicsr.measuring.request import Request
from tests.blufr_file import write_blufr_file
from tests.photos import Silent
from tests.small_data import close_environment, write_small_data

RECOGNIZER = {'input_size': [32, 32], 'num_feat': 2, 'feature_length': 8}
GENERATOR = {'num_feat': 2, 'num_block': 1, 'scale': 8}
NAMES = [f'{person}/{person}_{image:04d}' for person in ('Ann', 'Bob', 'Cid', 'Dee') for image in (1, 2, 3)]
PAIRS = '2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nCid\t1\t2\nCid\t1\tDee\t1\n'
NAMED = 6
"""Images that these pairs name, of twelve."""


def write_networks(folder: Path, seed: int = 0, generator: int = 0, **recognizer: Any) -> None:
    options = RECOGNIZER | recognizer
    torch.manual_seed(seed)
    save_atomically({'params': SphereFace20(**options).state_dict(), 'network': {'type': 'SphereFace20', **options}},
                    folder / 'net_r.pth')
    torch.manual_seed(generator)
    save_atomically({'params': SRResNet(**GENERATOR).state_dict(), 'network': {'type': 'SRResNet', **GENERATOR}},
                    folder / 'net_g.pth')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_data(tmp_path / 'data', identities=4, images=3, names=NAMES)
    (tmp_path / 'pairs.txt').write_text(PAIRS)
    write_blufr_file(tmp_path / 'blufr.mat', NAMES, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
                     [([0, 3], [1, 4, 6, 7]), ([6, 9], [7, 10, 0, 1])])
    write_networks(tmp_path)
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Images that went through the recognizer 'r' and the generator 'g' since `seen.clear()`."""
    count: dict[str, int] = {}
    for label, kind in (('r', SphereFace20), ('g', SRResNet)):
        def forward(self: Any, x: torch.Tensor, label: str = label, before: Callable = kind.forward) -> torch.Tensor:
            count[label] = count.get(label, 0) + len(x)
            return before(self, x)
        monkeypatch.setattr(kind, 'forward', forward)
    return count


def lfw(folder: Path, **changes: Any) -> Request:
    return replace(Request(protocol='lfw', data=folder / 'data', pairs=folder / 'pairs.txt', scale=8,
                           recognizers={'R': str(folder / 'net_r.pth')}, weights={'mine': folder / 'net_g.pth'}),
                   **changes)


def numbers(request: Request, show: Any = None) -> dict[str, dict[str, float]]:
    results, _ = evaluate_request(request, show or Silent())
    return {run.system: next(iter(run.measured.values())).numbers for run in results.runs}


def seen_by(request: Request, seen: dict[str, int]) -> dict[str, int]:
    """How many images went through the networks; the one of `scale_of` is not counted."""
    seen.clear()
    numbers(request)
    seen['g'] = seen.get('g', 0) - (1 if request.weights else 0)
    return {label: count for label, count in sorted(seen.items()) if count}


# ------------------------------------------------------------------------------------------------- who pays for what

def test_only_images_that_are_compared_are_recognized_and_a_second_run_computes_nothing(
        folder: Path, seen: dict[str, int]) -> None:
    assert seen_by(lfw(folder), seen) == {'g': 12, 'r': 3 * 2 * NAMED}  # three rows, images and mirror images
    first = numbers(lfw(folder))
    assert seen_by(lfw(folder), seen) == {}
    assert numbers(lfw(folder)) == first == numbers(lfw(folder, cache=folder / 'elsewhere'))


def test_another_protocol_row_scale_or_recognizer_pays_only_for_what_is_new(folder: Path, seen: dict[str, int]) -> None:
    numbers(lfw(folder))
    everything = lfw(folder, protocol='identification', pairs=None)
    assert seen_by(everything, seen) == {'g': 6, 'r': 3 * (12 - NAMED)}  # unit length, no mirror images
    assert seen_by(replace(everything, flip=True), seen) == {'g': 6, 'r': 3 * (12 - NAMED)}  # those of the others
    assert seen_by(lfw(folder, protocol='blufr', pairs=None, config=folder / 'blufr.mat'), seen) == {}
    shutil.copy(folder / 'net_g.pth', folder / 'same.pth')
    assert seen_by(lfw(folder, weights={'other name': folder / 'same.pth'}), seen) == {}
    torch.manual_seed(9)
    save_atomically({'params': SRResNet(**GENERATOR).state_dict(), 'network': {'type': 'SRResNet', **GENERATOR}},
                    folder / 'new.pth')
    both = {'mine': folder / 'net_g.pth', 'new': folder / 'new.pth'}
    assert seen_by(lfw(folder, weights=both), seen) == {'g': 12 - 1 + 2, 'r': 2 * NAMED}  # scale_of passes one each
    assert seen_by(lfw(folder, weights={}, scale=4), seen) == {'r': 2 * NAMED}  # Bicubic x4; HR has no scale


def test_an_interrupted_run_keeps_what_it_has_computed(folder: Path, seen: dict[str, int],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    before = SphereFace20.forward

    def stops(self: Any, x: torch.Tensor) -> torch.Tensor:
        if seen.get('r', 0) >= 3 * NAMED:
            raise KeyboardInterrupt
        return before(self, x)
    with monkeypatch.context() as patch:
        patch.setattr(SphereFace20, 'forward', stops)
        with pytest.raises(KeyboardInterrupt):
            numbers(lfw(folder))
    done = seen['r']
    assert seen_by(lfw(folder), seen)['r'] == 3 * 2 * NAMED - done


def test_features_of_files_are_neither_kept_nor_taken_from_what_is_kept(folder: Path) -> None:
    keys, _ = read_identities(folder / 'data')
    np.save(folder / 'f.npy', np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32))
    (folder / 'f.keys.txt').write_text('\n'.join(keys))
    request = lfw(folder, recognizers={}, weights={}, scale=None, features={'f': folder / 'f.npy'})
    numbers(request)
    assert not (folder / 'data/features').exists()
    with pytest.raises(UserError, match='leave out .*--cache'):
        numbers(replace(request, cache=folder / 'features'))


def test_each_row_is_shown_with_its_numbers_before_the_next_one_is_computed(folder: Path, seen: dict[str, int]) -> None:
    class Shown(Silent):
        rows: list[tuple[str, str, int]] = []

        def end(self, name: str, note: str) -> None:
            self.rows.append((name, note, seen.get('r', 0)))
    found = numbers(lfw(folder), show := Shown())
    assert [(name, count) for name, _, count in show.rows] == [
        ('HR', 2 * NAMED), ('Bicubic', 4 * NAMED), ('mine', 6 * NAMED)]
    for name, note, _ in show.rows:
        assert f"LFW official % (R) {100 * found[name]['R/official']:.2f} ± " in note
        assert name == 'HR' or f"PSNR dB {found[name]['psnr']:.2f}, SSIM {found[name]['ssim']:.4f}" in note


# ---------------------------------------------------------------------------------------------------- never stale

def rewrite(store: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Other pixels under the same keys."""
    images = {key: FaceStore(store).image(key) for key in FaceStore(store).keys}
    close_environment(store)
    shutil.rmtree(store)
    with StoreWriter(store) as writer:
        for key, image in images.items():
            writer.put(key, encode_png(np.ascontiguousarray(change(image))))
        writer.finish()


def rename(folder: Path) -> None:
    """The first image gets the key of a new name, and another image its old one."""
    for store in ('hr.lmdb', 'lr_x8.lmdb'):
        path = folder / 'data' / store
        images = [FaceStore(path).image(key) for key in FaceStore(path).keys]
        close_environment(path)
        shutil.rmtree(path)
        with StoreWriter(path) as writer:
            for key, image in zip(NAMES, [images[1], images[0], *images[2:]], strict=True):
                writer.put(key, encode_png(image))
            writer.finish()


def another_version(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(feature_cache, 'installed_version', lambda name: '0.0')


CHANGES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], dict[str, Any], dict[str, int]]] = {
    'recognizer': (lambda folder, _: write_networks(folder, seed=1), {}, {'g': NAMED, 'r': 36}),
    'its input record': (lambda folder, _: write_networks(folder, channels='bgr'), {}, {'g': NAMED, 'r': 36}),
    'its settings': (lambda folder, _: write_networks(folder, template='arcface'), {}, {'g': NAMED, 'r': 36}),
    'generator': (lambda folder, _: write_networks(folder, generator=1), {}, {'g': 12, 'r': 12}),
    'mirror': (lambda folder, _: None, {'flip': False}, {}),
    'degradation': (lambda folder, _: rewrite(folder / 'data/lr_x8.lmdb', lambda image: 255 - image), {},
                    {'g': 12, 'r': 24}),
    'crop': (lambda folder, _: rewrite(folder / 'data/hr.lmdb', lambda image: image[::-1]), {}, {'g': 12, 'r': 12}),
    'one image': (lambda folder, _: rewrite(
        folder / 'data/hr.lmdb', lambda image: image ^ 1 if (image == first(folder)).all() else image), {},
        {'g': 1, 'r': 2}),
    'keys': (lambda folder, _: rename(folder), {}, {'g': 2, 'r': 3 * 2 * 2}),
    'colour of PSNR': (lambda folder, _: None, {'color': 'y'}, {'g': 12}),
    'border of PSNR': (lambda folder, _: None, {'border': 4}, {'g': 12}),
    'code': (lambda folder, patch: patch.setattr(feature_cache, 'code_sha256', lambda: 'another'), {},
             {'g': 12, 'r': 36}),
    'libraries': (another_version, {}, {'g': 12, 'r': 36})}


def first(folder: Path) -> np.ndarray:
    return FaceStore(folder / 'data/hr.lmdb').image(NAMES[0])


@pytest.mark.parametrize('what', CHANGES)
def test_whatever_decides_a_feature_may_change_and_none_is_stale(
        folder: Path, seen: dict[str, int], what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, options, expected = CHANGES[what]
    numbers(lfw(folder))
    original = first(folder)
    monkeypatch.setitem(globals(), 'first', lambda folder: original)
    change(folder, monkeypatch)
    request = lfw(folder, **options)
    fresh = numbers(replace(request, cache=folder / 'fresh'))
    found = seen_by(request, seen)
    assert found == expected
    assert numbers(request) == fresh


def test_a_changed_value_would_be_seen(folder: Path) -> None:
    """The tests above compare numbers that do depend on what they change."""
    before = numbers(lfw(folder))
    write_networks(folder, seed=1, generator=1)
    after = numbers(lfw(folder))
    assert before['mine']['psnr'] != after['mine']['psnr'] and before['mine'] != after['mine']


def test_the_hash_of_the_code_is_that_of_every_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, '__file__', str(tmp_path / 'measuring/feature_cache.py'))
    hashes = set()
    for name, text in (('ops/resize.py', 'A = 1'), ('ops/resize.py', 'A = 2'), ('archs/new_arch.py', '')):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        hashes.add(feature_cache.code_sha256.__wrapped__())
    assert len(hashes) == 3


CALLABLE = '''
import torch
from cface_basicsr.ops.recognizer_input import RecognizerInput

class Mine(torch.nn.Module):
    input_spec = RecognizerInput(8, 8)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.load(FILE, weights_only=True))

    def forward(self, x):
        with open(FILE + '.log', 'a') as log:
            log.write(len(x) * '.')
        return x.flatten(1)[:, :16] * self.weight + 3
'''


def test_a_recognizer_of_python_is_known_by_its_modules_file_and_its_weights(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    torch.save(torch.ones(16), folder / 'w.pt')
    log, module = folder / 'w.pt.log', folder / 'my_cached_net.py'

    def paid() -> int:
        sys.modules.pop('my_cached_net', None)
        log.write_text('')
        numbers(lfw(folder, recognizers={'R': 'my_cached_net:Mine'}, weights={}))
        return len(log.read_text()) - 2  # the two faces on which every such recognizer is tried
    module.write_text(f'FILE = {str(folder / "w.pt")!r}' + CALLABLE)
    assert (paid(), paid()) == (2 * 2 * NAMED, 0)
    torch.save(torch.arange(16.), folder / 'w.pt')
    assert (paid(), paid()) == (2 * 2 * NAMED, 0)
    module.write_text(module.read_text().replace('+ 3', '+ 300'))
    assert (paid(), paid()) == (2 * 2 * NAMED, 0)


BORROWED = '''
import numpy as np
import torch
from cface_basicsr.ops.recognizer_input import RecognizerInput
from my_other_file import Features

def faces_to_features(x):
    return x.flatten(1)[:, :16] * torch.from_numpy(np.load(FILE))

faces_to_features.input_spec = RecognizerInput(8, 8)

def build():
    network = Features()
    network.input_spec = RecognizerInput(8, 8)
    return network
'''
OTHER_FILE = '''
import torch

class Features(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(16))

    def forward(self, x):
        return (x.flatten(1)[:, :16] * self.weight) ** 1
'''


@pytest.mark.parametrize(('name', 'change'), [
    ('faces_to_features', lambda folder: np.save(folder / 'w.npy', np.eye(16, dtype=np.float32)[3])),
    ('build', lambda folder: (folder / 'my_other_file.py').write_text(OTHER_FILE.replace('** 1', '** 3')))])
def test_a_recognizer_of_python_whose_weights_or_code_are_elsewhere_is_never_stale(
        folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Path], object]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)  # two files of one second and size have one .pyc
    monkeypatch.syspath_prepend(str(folder))
    np.save(folder / 'w.npy', np.ones(16, np.float32))
    (folder / 'my_other_file.py').write_text(OTHER_FILE)
    (folder / 'my_borrowing_net.py').write_text(f'FILE = {str(folder / "w.npy")!r}' + BORROWED)

    def measured(cache: str) -> object:
        for module in ('my_other_file', 'my_borrowing_net'):
            sys.modules.pop(module, None)
        linecache.clearcache()
        return numbers(lfw(folder, recognizers={'R': f'my_borrowing_net:{name}'}, weights={}, cache=folder / cache))
    before = measured('kept')
    change(folder)
    after = measured('kept')
    assert after == measured('new') != before


# ------------------------------------------------------------------------------------------------------------ on disk

def files(folder: Path) -> list[Path]:
    return sorted((folder / 'data/features').iterdir())


def swap_two(paths: list[Path]) -> None:
    content = [path.read_bytes() for path in paths]
    for path, other in zip(paths, content[1:] + content[:1], strict=True):
        path.write_bytes(other)


def edit_arrays(paths: list[Path]) -> None:
    """Values that a later writer has changed, in an archive that is whole."""
    for path in paths:
        with np.load(path) as arrays:
            content = dict(arrays)
        content['values'] = content['values'] + 1
        np.savez(path, **content)


SPOIL: dict[str, Callable[[list[Path]], object]] = {
    'cut off': lambda paths: [path.write_bytes(path.read_bytes()[:-40]) for path in paths],
    'empty': lambda paths: [path.write_bytes(b'') for path in paths],
    'one byte': lambda paths: [path.write_bytes(path.read_bytes()[:-900] + b'?' + path.read_bytes()[-899:])
                               for path in paths],
    'swapped': swap_two, 'edited': edit_arrays, 'text': lambda paths: [path.write_text('features') for path in paths],
    'removed': lambda paths: [path.unlink() for path in paths],
    'folder': lambda paths: [(path.unlink(), path.mkdir(), (path / 'x').touch()) for path in paths[:1]]}


@pytest.mark.parametrize('spoil', SPOIL.values(), ids=SPOIL)
def test_a_damaged_file_costs_time_and_nothing_else(folder: Path, seen: dict[str, int],
                                                    spoil: Callable[[list[Path]], object]) -> None:
    before = numbers(lfw(folder))
    spoil(files(folder))
    assert seen_by(lfw(folder), seen) != {} or spoil is SPOIL['folder']
    assert numbers(lfw(folder)) == before


def test_many_writers_at_a_time_leave_a_whole_file_and_nothing_besides(tmp_path: Path) -> None:
    def write(number: int) -> None:
        file = _File(tmp_path / 'features', {'of': 'all'})
        for turn in range(10):
            file.add({bytes([number, turn] * 16): np.full(3, 10 * number + turn, np.float32)})
            for image, values in file.read().items():
                assert values.tolist() == [10 * image[0] + image[1]] * 3
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    file, = (tmp_path / 'features').iterdir()
    assert len(_File(tmp_path / 'features', {'of': 'all'}).read()) >= 10
    assert _File(tmp_path / 'features', {'of': 'another'}).read() == {}


@pytest.mark.parametrize('named', [False, True])
def test_where_nothing_can_be_kept_one_line_says_so_and_the_numbers_come(
        folder: Path, named: bool, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / 'data/features').write_text('a file, so no folder can be made here')
    request = lfw(folder, cache=folder / 'data/features/below') if named else lfw(folder)
    assert numbers(request) == numbers(lfw(folder, cache=folder / 'good'))
    line, = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cface: features are not kept in '{request.cache or folder / 'data/features'}' (")
    assert line.endswith('; --cache DIR names another folder.')


def test_a_full_disk_ends_nothing_and_leaves_no_half_file(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    def full(file: Any, **arrays: Any) -> None:
        file.write(b'half')
        raise OSError(28, 'No space left on device')
    expected = numbers(lfw(folder, cache=folder / 'good'))
    monkeypatch.setattr(np, 'savez', full)
    assert numbers(lfw(folder)) == expected and files(folder) == []
    assert capsys.readouterr().err.count('No space left on device') == 1


def test_a_folder_that_is_named_gets_the_files_and_the_data_none(folder: Path, seen: dict[str, int]) -> None:
    numbers(lfw(folder, cache=folder / 'a/b'))
    assert not (folder / 'data/features').exists() and len(list((folder / 'a/b').glob('*.npz'))) == 9
    assert seen_by(lfw(folder, cache=folder / 'a/b'), seen) == {}


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    yield
    for store in tmp_path.glob('data/*.lmdb'):
        close_environment(store)
