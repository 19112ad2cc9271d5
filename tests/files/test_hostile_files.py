"""Files that were made to hurt: each refused in words, before it takes memory or time."""

import errno
import io
import struct
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cface_basicsr.cli import main as command
from cface_basicsr.data.images.face_crop import Rejected
from cface_basicsr.data.images.face_images import read_face
from cface_basicsr.data.layouts.source import FolderPhotos, Source
from cface_basicsr.enhancing.photo_file import read_photo
from cface_basicsr.errors import UserError, refused, shown, visible
from cface_basicsr.files.array_file import read_npy, read_npz
from cface_basicsr.files.face_store import FaceStore, decode_image
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.mat_file import read_mat
from cface_basicsr.files.named_pairs import read_named_pairs
from cface_basicsr.files.network_file import build_network_from_file, save_atomically
from cface_basicsr.files.store_pages import wrong_page
from cface_basicsr.files.text_file import read_text
from cface_basicsr.files.yaml_file import parse_yaml, read_yaml
from cface_basicsr.recognizers.sphereface20 import read_caffe_blobs
from tests.blufr_file import write_blufr_file
from tests.small_data import write_small_data

BOMB = 'a: &a [' + ', '.join('x' * 9) + ']\n' + ''.join(
    f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]\n' for before, name in zip('abcdefgh', 'bcdefghi', strict=True))


@pytest.mark.parametrize('text', [BOMB, 'a: &a [*a]', '[' * 100_000, '- ' * 50_000, '{a: ' * 5_000],
                         ids=['aliases', 'itself', 'lists', 'dashes', 'maps'])
def test_yaml_that_means_too_much_is_refused_before_it_is_built(text: str) -> None:
    said = "^'x.yml', line [0-9]+ is not valid YAML: (expected at most|'.a' is part of itself)"
    with pytest.raises(UserError, match=said):
        parse_yaml(text, 'x.yml')


def test_yaml_may_repeat_a_section_and_nest_as_deeply_as_people_do() -> None:
    assert parse_yaml('a: &a {x: 1}\nb: *a\nc: [*a, {<<: *a, y: 2}]', 'x') == {
        'a': {'x': 1}, 'b': {'x': 1}, 'c': [{'x': 1}, {'x': 1, 'y': 2}]}
    assert parse_yaml('[' * 50 + ']' * 50, 'x') is not None


@pytest.mark.parametrize('first', ['999999999999 0', '999999999999 1', '1 999999999999', '9' * 5000])
def test_pairs_that_are_only_counted_are_refused(tmp_path: Path, first: str) -> None:
    (tmp_path / 'pairs.txt').write_text(f'{first}\nAnn 1 2\n')
    with pytest.raises(UserError, match='pairs.txt'):
        read_named_pairs(tmp_path / 'pairs.txt')


@pytest.mark.parametrize('network', [
    {'type': 'SRResNet', 'scale': 2, 'num_feat': 10 ** 9}, {'type': 'SRResNet', 'scale': 2, 'num_feat': 4000},
    {'type': 'SRResNet', 'scale': 2, 'num_feat': 2, 'num_block': 10 ** 8},
    {'type': 'SRResNet', 'scale': 2, 'num_feat': float('nan')}, {'type': 'SpyNet', 'load_path': '/etc/passwd'},
    {'type': 'VGGFeatureExtractor', 'layer_name_list': ['conv1_1']}, {'type': 'OnnxRecognizer', 'file': '/dev/zero'},
    {'scale': 2}, {'type': 3}, {'type': ['SRResNet']}], ids=str)
def test_a_network_that_is_larger_than_its_file_or_opens_others_is_not_built(tmp_path: Path, network: Any) -> None:
    save_atomically({'params': {'a': torch.zeros(9)}, 'network': network}, tmp_path / 'net.pth')
    with pytest.raises(UserError, match='net.pth') as refusal:
        build_network_from_file(tmp_path / 'net.pth')
    assert 'does not fit SRResNet' not in str(refusal.value)  # which would have been built


@pytest.mark.parametrize(('shape', 'kind'), [((10 ** 12, 4), '<f4'), ((-1, 4), '<f4'), ((2, 2), '|O'), ((3, 2), '<f8')])
def test_a_matrix_larger_than_its_file_is_not_mapped(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    path = tmp_path / 'f.npy'
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path.write_bytes(b'\x93NUMPY\1\0' + struct.pack('<H', len(head)) + head + bytes(40))
    with pytest.raises(UserError, match='f.npy.*cut off, or no .npy file'):
        read_npy(path)


@pytest.mark.parametrize('values', [np.arange(12.0).reshape(3, 4), np.asfortranarray(np.ones((2, 5))), np.zeros((0, 3)),
                                    np.array(True), np.array(['a', 'bc'])], ids=lambda value: str(value.shape))
def test_arrays_come_back_as_numpy_reads_them(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / 'a.npy', values)
    np.savez_compressed(tmp_path / 'a.npz', first=values, second=np.arange(3))
    for found in (read_npy(tmp_path / 'a.npy'), read_npz(tmp_path / 'a.npz')['first']):
        assert found.dtype == values.dtype and found.shape == values.shape and np.array_equal(found, values)


def test_an_archive_that_becomes_a_thousand_times_as_large_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / 'a.npz', zeros=np.zeros(1 << 23))
    with pytest.raises(UserError, match='bytes when unpacked'):
        read_npz(tmp_path / 'a.npz')


def test_a_matlab_file_that_ends_scipy_does_not_end_this_process(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    write_blufr_file(tmp_path / 'b.mat', ['a/a_0', 'b/b_0'], [0, 1], [([0], [1])])
    assert set(read_mat(tmp_path / 'b.mat', '')) >= {'imageList', 'labels', 'testIndex'}
    content = bytearray((tmp_path / 'b.mat').read_bytes())
    content[128:] = content[128:][:len(content) // 3]
    (tmp_path / 'b.mat').write_bytes(content)
    with pytest.raises(UserError, match='b.mat.*cannot be read as a MATLAB file'):
        read_mat(tmp_path / 'b.mat', '')
    monkeypatch.setattr(sys, 'executable', '/bin/false')  # as a process that scipy has ended
    with pytest.raises(UserError, match='scipy gives up'):
        read_mat(tmp_path / 'b.mat', '')


def test_every_number_in_the_pages_of_a_store_that_leads_out_of_it_is_found(tmp_path: Path) -> None:
    write_small_data(tmp_path, identities=3, images=40)
    path = tmp_path / 'lr_x8.lmdb' / 'data.mdb'
    assert wrong_page(path) == wrong_page(tmp_path / 'hr.lmdb' / 'data.mdb') == ''
    whole = path.read_bytes()
    pages = [place for place in range(2 * 4096, len(whole), 4096) if whole[place + 10] in (1, 2)
             and whole[place + 11] == 0 and whole[place:place + 8] == (place // 4096).to_bytes(8, 'little')]
    assert pages
    for place in pages:
        for offset, size in ((10, 2), (12, 2), (14, 2), (16, 2)):
            changed = bytearray(whole)
            changed[place + offset:place + offset + size] = b'\xff' * size
            path.unlink()
            path.write_bytes(changed)
            assert wrong_page(path) == f'page {place // 4096} is damaged'
    with pytest.raises(UserError, match='is damaged or cut off: page [0-9]+ is damaged'):
        FaceStore(path.parent)


def png(side: int, depth: int, colour: int, channels: int) -> bytes:
    """A black PNG."""
    packer, line = zlib.compressobj(9), bytes(1 + side * channels * depth // 8)
    lines = b''.join([packer.compress(line) for _ in range(side)] + [packer.flush()])
    chunks = ((b'IHDR', struct.pack('>IIBBBBB', side, side, depth, colour, 0, 0, 0)), (b'IDAT', lines), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(struct.pack('>I', len(body)) + name + body
                                           + struct.pack('>I', zlib.crc32(name + body)) for name, body in chunks)


def test_a_small_file_of_a_large_deep_picture_is_refused_by_its_head(tmp_path: Path) -> None:
    file = io.BytesIO(png(64, 16, 6, 4))
    head = bytearray(file.getvalue())
    head[16:24] = struct.pack('>II', 12_000, 12_000)
    head[29:33] = struct.pack('>I', zlib.crc32(bytes(head[12:29])))
    (tmp_path / 'x.png').write_bytes(head)
    with pytest.raises(UserError, match='12000x12000 pixels take 1,152,000,000 bytes; expected at most 400,000,000'):
        read_face(tmp_path / 'x.png')


@pytest.mark.parametrize(('read', 'most'), [
    (read_yaml, 1 << 24), (read_json, 1 << 28), (partial(read_mat, expected=''), 1 << 26),
    (partial(read_text, expected=''), 1 << 30), (read_face, 1 << 30), (read_photo, 1 << 30),
    (read_caffe_blobs, 1 << 30), (lambda path: FolderPhotos(path.parent).read(Source('a/0', path.name)), 1 << 30)])
def test_a_file_larger_than_any_of_its_kind_is_refused_by_its_size(
        tmp_path: Path, read: Callable[[Path], object], most: int) -> None:
    with open(tmp_path / 'large.png', 'wb') as file:
        file.truncate(most + 1)  # takes no room on the disk
    with pytest.raises((UserError, Rejected), match=f'large.png. has {most + 1:,} bytes; expected at most {most:,}'):
        read(tmp_path / 'large.png')


def test_the_head_of_a_stored_picture_that_is_too_large_for_a_face_is_enough() -> None:
    file = bytearray(png(8, 8, 2, 3))
    file[16:24] = struct.pack('>II', 8192, 8193)
    with pytest.raises(UserError, match='claim to be an image of 8192x8193 pixels, too many for a face'):
        decode_image(bytes(file))


@pytest.mark.parametrize(('error', 'said'), [
    (OSError(errno.ENOSPC, 'No space left on device', 'a/b'), "'a/b': No space left on device. Make room there"),
    (OSError(errno.ENOTDIR, 'Not a directory', 'a'), "'a': Not a directory. Choose another name"),
    (OSError('no number'), 'no number.'), (MemoryError(), 'there is not enough memory'),
    (UserError('\x1b[2Jname'), '\\x1b[2Jname')], ids=['full', 'file', 'without number', 'memory', 'ours'])
def test_a_command_that_is_refused_anything_says_so_and_ends_with_2(
        error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fail() -> None:
        raise error
    monkeypatch.setattr(command, 'app', fail)
    with pytest.raises(SystemExit) as ending:
        command.main()
    printed = capsys.readouterr().err
    assert ending.value.code == 2 and printed.startswith(f'cface: {said}') and printed.count('\n') == 1
    assert refused(error) in printed


@pytest.mark.parametrize('message', ['a' * 5000, "'" + 'p/' * 200 + "x' is missing.", 'word ' * 200, 'a\nb\nc\nd',
                                     '\x1b]0;x\x07'])
def test_a_message_has_at_most_three_lines_and_300_characters_that_can_be_seen(message: str) -> None:
    text = shown(message)
    assert len(text) <= 300 and text.count('\n') <= 2 and text.replace('\n', '').isprintable()


def test_no_line_of_an_error_is_endless() -> None:
    first, second = str(UserError(f"{'one, ' * 400}\nshort.")).split('\n')
    assert len(first) == 1000 and first.endswith('…') and second == 'short.'


def test_what_can_be_seen_stays_as_it_is() -> None:
    assert visible("'é 日本.png'\nis missing.") == "'é 日本.png'\nis missing." == shown("'é 日本.png'\nis missing.")
    assert str(UserError('a\udcff')) == 'a\\udcff'
