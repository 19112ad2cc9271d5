"""Verification sets as Python 2 and 3 pickle them, and malicious pickles."""

import ast
import os
import pickle
import re
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cface_basicsr.data.archives import byte_file, pickle_machine, verification_bin
from cface_basicsr.data.archives.verification_bin import VerificationBin, read_verification_bin
from cface_basicsr.data.images.face_crop import decode_photo
from cface_basicsr.errors import UserError

IMAGES = [b'\xff\xd8 one', b'\xff\xd8' + bytes(range(256)) * 2, b'', b"it's \"three\"\n\\x41\t\xe9"]
SAME = [True, False]
PROTOCOLS = range(6)


def written(folder: Path, content: bytes) -> Path:
    path = folder / 'lfw.bin'
    path.write_bytes(content)
    return path


def images_of(found: VerificationBin) -> list[bytes]:
    return [found.read(row) for row in range(len(found))]


def python2(images: list[bytes], same: list[bool], protocol: int) -> bytes:
    """What cPickle of Python 2 writes for (list of str, list of bool), instruction by instruction."""
    def text(content: bytes) -> bytes:
        if protocol == 0:
            quoted = ''.join(chr(c) if 32 <= c < 127 and c not in b"'\\" else f'\\x{c:02x}' for c in content)
            return b"S'" + quoted.encode() + b"'\n"
        return b'U' + bytes([len(content)]) + content if len(content) < 256 else \
            b'T' + struct.pack('<i', len(content)) + content

    def flag(value: bool) -> bytes:
        return (b'\x88' if value else b'\x89') if protocol == 2 else b'I01\n' if value else b'I00\n'

    memo = iter(range(10_000))

    def remembered() -> bytes:
        return b'p%d\n' % next(memo) if protocol == 0 else b'q' + bytes([next(memo)])

    if protocol == 0:
        lists = [b'(l' + remembered() + b''.join(item(value) + (remembered() if item is text else b'') + b'a'
                                                 for value in values)
                 for item, values in ((text, images), (flag, same))]
        return b'(' + b''.join(lists) + b't' + remembered() + b'.'
    lists = [b']' + remembered() + b'(' + b''.join(item(value) + (remembered() if item is text else b'')
                                                   for value in values) + b'e'
             for item, values in ((text, images), (flag, same))]
    start, end = (b'\x80\x02', b'\x86') if protocol == 2 else (b'(', b't')
    return start + b''.join(lists) + end + remembered() + b'.'


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_what_python_3_writes_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    found = read_verification_bin(written(tmp_path, pickle.dumps((IMAGES, SAME), protocol)))
    assert images_of(found) == IMAGES
    assert found.same.tolist() == SAME and found.same.dtype == bool and len(found) == 4


@pytest.mark.parametrize('protocol', [0, 1, 2])
def test_what_python_2_writes_is_read_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = python2(IMAGES, SAME, protocol)
    assert pickle.loads(content, encoding='bytes') == (IMAGES, SAME)  # the handwritten pickle is valid
    found = read_verification_bin(written(tmp_path, content))
    assert images_of(found) == IMAGES and found.same.tolist() == SAME


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=9), st.booleans()), min_size=1, max_size=6),
       st.sampled_from(PROTOCOLS), st.booleans())
def test_any_bytes_come_back(tmp_path: Path, pairs: list[tuple[bytes, bytes, bool]], protocol: int, old: bool) -> None:
    images, same = [image for pair in pairs for image in pair[:2]], [pair[2] for pair in pairs]
    content = python2(images, same, protocol) if old and protocol < 3 else pickle.dumps((images, same), protocol)
    found = read_verification_bin(written(tmp_path, content))
    assert images_of(found) == images and found.same.tolist() == same


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('make', [
    bytearray,
    lambda image: np.frombuffer(image, np.uint8),
    lambda image: np.frombuffer(image, np.uint8).copy().reshape(-1, 1),
])
def test_images_may_be_arrays_of_bytes(tmp_path: Path, protocol: int, make: type) -> None:
    content = pickle.dumps(([make(image) for image in IMAGES], SAME), protocol)
    assert images_of(read_verification_bin(written(tmp_path, content))) == IMAGES


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('same', [
    (True, False), [1, 0], [np.True_, np.False_], [np.int64(1), np.uint8(0)], np.array([True, False]),
    np.array([1, 0]), np.array([1, 0], '>i4'), np.array([1, 0], np.int8),
], ids=repr)
def test_flags_may_be_bools_zeros_and_ones_of_any_type(tmp_path: Path, protocol: int, same: object) -> None:
    found = read_verification_bin(written(tmp_path, pickle.dumps([tuple(IMAGES), same], protocol)))
    assert found.same.tolist() == SAME and images_of(found) == IMAGES


def test_the_names_that_numpy_1_and_python_2_write_are_known(tmp_path: Path) -> None:
    dtype = b"cnumpy\ndtype\n(U\x02%sK\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = (b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x03t' + dtype % b'u1'
             + b'\x89U\x03jpgtb')
    scalar = b'cnumpy.core.multiarray\nscalar\n(' + dtype % b'b1' + b'U\x01\x01tR'
    content = b'\x80\x02](' + array * 2 + b'e](' + scalar + b'e\x86.'
    found = read_verification_bin(written(tmp_path, content))
    assert images_of(found) == [b'jpg', b'jpg'] and found.same.tolist() == [True]


def test_an_image_of_several_pairs_is_pickled_once_and_found_each_time(tmp_path: Path) -> None:
    image = b'\xff' * 1000
    path = written(tmp_path, pickle.dumps(([image] * 6, SAME + SAME[:1]), 2))
    assert path.stat().st_size < 2500 and images_of(read_verification_bin(path)) == [image] * 6


def test_photographs_are_read_unchanged_also_by_a_pickled_set(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    jpeg, png = (cv2.imencode(ending, photo)[1] for ending in ('.jpg', '.png'))
    found = read_verification_bin(written(tmp_path, pickle.dumps(([jpeg, png], [True]), 4)))
    sent = pickle.loads(pickle.dumps(found))
    assert images_of(sent) == [jpeg.tobytes(), png.tobytes()]
    assert np.array_equal(decode_photo(sent.read(1)), photo[:, :, ::-1])


def test_images_stay_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, pickle.dumps(([b'a' * 100_000] + [b'b' * 100_000], [True]), 4))
    assert len(pickle.dumps(read_verification_bin(path))) < 2000


class Calls:
    """Pickled as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize(('function', 'name'), [
    (os.system, 'system'), (eval, 'eval'), (getattr, 'getattr'), (np.load, 'load'), (np.frombuffer, 'frombuffer'),
])
def test_a_call_is_refused_by_its_name_and_not_made(tmp_path: Path, protocol: int, function: object, name: str
                                                    ) -> None:
    trace = tmp_path / 'trace'
    content = pickle.dumps((IMAGES, SAME, Calls(function, f'touch {trace}')), protocol)
    with pytest.raises(UserError, match=rf"is refused: it would call '[\w.]+\.{name}' when unpickled"):
        read_verification_bin(written(tmp_path, content))
    assert not trace.exists()


@pytest.mark.parametrize(('content', 'message'), [
    (b"cos\nsystem\n(S'true'\ntR.", "would call 'os.system'"),                            # GLOBAL
    (b'\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.', "would call 'os.system'"),  # STACK_GLOBAL
    (b"(S'true'\nios\nsystem\n.", "would call 'os.system'"),                              # INST
    (b"(cos\nsystem\nS'true'\no.", "would call 'os.system'"),                             # OBJ
    (b"(inumpy\ndtype\n.", "would call 'numpy.dtype'"),
    (b'cbuiltins\ngetattr\n.', "would call 'builtins.getattr'"),
    (b'\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.', "would call 'numpy.ndarray.dump'"),
    (b'cnumpy\nndarray\n)\x81.', 'holds an instance of a class'),                         # NEWOBJ
    (b'\x80\x04cnumpy\nndarray\n)]\x92.', 'holds an instance of a class'),                # NEWOBJ_EX
    (b'\x80\x02\x82\x01.', 'holds an extension code'),
    (b'Pname\n.', 'holds a reference to an outside object'),
    (b'\x80\x05\x97.', 'holds a buffer outside the file'),
    (b'c\x1b[31mred\nalert\n.', r"would call '\\x1b\[31mred.alert'"),                     # nothing for the terminal
    (b'c' + b'a' * 9000 + b'\nb\n.', "would call '" + 'a' * 40 + "'"),
    (b'\x80\x02}q\x00.', 'holds a dict'),
    (b'\x80\x02G' + b'\0' * 8 + b'.', 'holds a float'),
])
def test_malicious_instructions_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_verification_bin(written(tmp_path, content))


@pytest.mark.parametrize('content', [
    b'cnumpy\ndtype\n.',                                                        # only a name
    b'cnumpy\nndarray\n(K\x03tR.',                                              # no pickler calls it
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tU\x01btR.",  # another kind of array
    b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
    b"c_codecs\nencode\n(Va\nVrot13\ntR.",
    b"c_codecs\nencode\n(Va\n(tR.",
    b'cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.',
    b'cnumpy\ndtype\n(U\x02u1tR(K\x03tb.',
    b'cnumpy\ndtype\n(U\x02u1tR(K\x03U\x01Xtb.',
    b'](K\x01(K\x03tb.',                                                        # a state for a list
    b'K\x01K\x02a.', b'a.', b'e.', b't.', b'R.', b'b.', b'0.', b'.', b'(.', b'\x93.', b'h\x00.', b'q\x00.', b'g7\n.',
    b'N\x85\x86.', b'Ifive\n.', b'I\n.', b'L' + b'9' * 5000 + b'L\n.', b'\x8a\xff' + b'\xff' * 255 + b'.', b"S'a\n.",
    b'Sa\n.', b'\x80\x06N.', b'\xfeN.', b'<html>', b'PK\x03\x04', b'\x8e' + b'\xff' * 8 + b'.',
    b']q\x00h\x00a.',                                                           # a list in itself
    b'(' * 100_000 + b'.', b')' + b'\x85' * 100_000 + b'.', b'(' * 50_000 + b't' * 50_000 + b'.',
])
def test_pickles_that_make_no_sense_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError):
        read_verification_bin(written(tmp_path, content))


def array_pickle(shape: bytes, content: bytes, code: bytes = b'u1') -> bytes:
    """Two images that are one array of this shape (instructions) and content, and a flag."""
    dtype = b'cnumpy\ndtype\n(U\x02' + code + b'tR'
    return (b'\x80\x02](cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01' + shape
            + dtype + b'\x89' + content + b'tbq\x07h\x07e]\x88a\x86.')


@pytest.mark.parametrize(('shape', 'content', 'message'), [
    (b'(K\x04t', b'U\x03jpg', 'expected 4 bytes in the array at byte .*, got 3'),
    (b'(L' + b'9' * 15 + b'L\nt', b'U\x03jpg', 'cannot be followed'),
    (b'(K\x03K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t', b'U\x03jpg', 'cannot be followed'),
    (b'(J\xff\xff\xff\xfft', b'U\x03jpg', 'cannot be followed'),
    (b'K\x03', b'U\x03jpg', 'cannot be followed'),
    (b'(K\x03t', b'X\x03\0\0\0jpg', 'cannot be followed'),
    (b'(K\x03K\x02t', b'U\x06pixels', r'image 0 is a numpy array of shape \(3, 2\) and kind uint8, expected the bytes'),
])
def test_arrays_that_are_not_encoded_images_are_refused(tmp_path: Path, shape: bytes, content: bytes, message: str
                                                       ) -> None:
    assert images_of(read_verification_bin(written(tmp_path, array_pickle(b'(K\x03t', b'U\x03jpg')))) == [b'jpg'] * 2
    with pytest.raises(UserError, match=message):
        read_verification_bin(written(tmp_path, array_pickle(shape, content)))


@pytest.mark.parametrize(('value', 'message'), [
    ((IMAGES[:3], SAME), 'holds 3 images and 2 pairs, expected two images per pair'),
    ((IMAGES, SAME * 2), 'holds 4 images and 4 pairs'),
    (([], []), 'holds 0 images and 0 pairs'),
    ((IMAGES, [0, 1], SAME), r'holds a tuple of 3, expected \(list of images, list of flags\)'),
    (IMAGES[0], r'holds bytes, expected'),
    (None, 'holds None'),
    ((IMAGES[0], SAME), 'the images are bytes, expected a list'),
    ((IMAGES[:3] + ['text'], SAME), 'image 3 is text, expected the bytes of a JPEG or PNG'),
    (([b'a', None], [True]), 'image 1 is None'),
    (([b'a', np.zeros((4, 4, 3), np.uint8)], [True]), r'image 1 is a numpy array of shape \(4, 4, 3\) and kind uint8'),
    (([b'a', np.zeros(4, np.int16)], [True]), r'image 1 is a numpy array of shape \(4,\) and kind int16'),
    ((IMAGES, [True, 2]), 'the flag of pair 1 is 2, expected True or False'),
    ((IMAGES, [True, None]), 'the flag of pair 1 is None'),
    ((IMAGES, np.eye(2, dtype=int)), 'the flag of pair 0 is a list of 2'),
    ((IMAGES, 2), 'the flags are 2, expected a list of bools'),
    ((IMAGES, np.array([0.0, 1.0])), "numpy array of kind 'f8', expected bools or whole numbers"),
    ((IMAGES, np.array([None, 1])), "numpy array of kind 'O8'"),
    ({'images': IMAGES}, 'holds a dict'),
    ((IMAGES, [0.0, 1.0]), 'holds a float'),
])
@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_another_structure_is_refused(tmp_path: Path, value: object, message: str, protocol: int) -> None:
    with pytest.raises(UserError, match=message):
        read_verification_bin(written(tmp_path, pickle.dumps(value, protocol)))


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_file_truncated_at_any_byte_is_refused(tmp_path: Path, protocol: int) -> None:
    whole = pickle.dumps(([b'first', np.frombuffer(b'second', np.uint8)], [np.True_]), protocol)
    for length in range(len(whole)):
        with pytest.raises(UserError, match='truncated'):
            read_verification_bin(written(tmp_path, whole[:length]))


def test_a_truncated_file_says_where_and_how_much_is_missing(tmp_path: Path) -> None:
    whole = pickle.dumps(([b'a' * 1000, b'b' * 1000], [True]), 3)
    start = whole.index(b'bbb')
    message = f'is truncated: the value at byte {start} needs 1000 bytes, but only 300 are there.\nCopy the file again.'
    with pytest.raises(UserError, match=re.escape(message)):
        read_verification_bin(written(tmp_path, whole[:start + 300]))


def test_a_file_with_bytes_after_the_pickle_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps((IMAGES, SAME), 4)
    with pytest.raises(UserError, match=f'3 bytes follow the end of the pickle at byte {len(content)}, expected none'):
        read_verification_bin(written(tmp_path, content + b'N..'))


def test_a_file_truncated_after_it_was_opened_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, pickle.dumps(([b'a' * 1000, b'b' * 1000], [True]), 3))
    found = read_verification_bin(path)
    os.truncate(path, 1500)
    assert found.read(0) == b'a' * 1000
    with pytest.raises(UserError, match='is truncated: .* needs 1000 bytes'):
        found.read(1)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file '.*lfw.bin' is missing"):
        read_verification_bin(tmp_path / 'lfw.bin')


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PROTOCOLS), st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_never_give_anything_but_a_user_error(
        tmp_path: Path, protocol: int, place: int, change: bytes) -> None:
    whole = bytearray(pickle.dumps(([b'first', np.frombuffer(b'second', np.uint8)], [np.True_]), protocol))
    place %= len(whole)
    whole[place:place + len(change)] = change
    try:
        images_of(read_verification_bin(written(tmp_path, bytes(whole))))
    except UserError:
        pass


@pytest.mark.parametrize('module', [pickle_machine, verification_bin, byte_file])
def test_the_readers_have_no_means_to_run_a_pickle(module: object) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not imported & {'pickle', '_pickle', 'importlib', 'copyreg', 'torch', 'joblib', 'shelve'}
    assert not called & {'eval', 'exec', 'compile', '__import__', 'getattr', 'setattr', 'globals', 'vars'}
