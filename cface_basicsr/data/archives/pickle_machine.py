"""The values in a pickle, found without running it.

A pickle is a program for a stack machine, and some of its instructions import and call whatever the file names. So
`pickle.load` is out of the question for a file from elsewhere. An `Unpickler` that admits few names is not enough
either: numpy's own reconstruction would have to be among them, and it takes internal states from the file. Here the
machine is our own, and safe by what it lacks:

- nothing is imported or called by name; a name in the file is looked up in `_MAKERS`, whose functions stand below, and
  any other is refused at the instruction that first says it;
- the instructions that build instances, look up extension codes or ask for outside objects do not exist in it;
- no array or object is made from the file's word: bytes stay in the file, and only their place is kept.

It knows what picklers of Python 2 and 3, protocols 0 to 5, write for lists, tuples, whole numbers, bools, bytes, str,
bytearray, and numpy's scalars and arrays of whole numbers and bools.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from cface_basicsr.data.archives.byte_file import ByteFile
from cface_basicsr.data.archives.pickle_values import Array, Code, Stored, cut_off, stored_bytes
from cface_basicsr.errors import UserError


def pickled_values(file: ByteFile) -> object:
    """The value of a pickle: lists and tuples of each other, int, bool, None, `Stored` and `Array`.

    Raises:
        UserError: it is no pickle, cut off, or holds anything else; what it wanted to call is named.
    """
    try:
        with open(file.path, 'rb') as tape:
            return _Machine(file, tape).run()
    except OSError as error:
        raise UserError(f"'{file.path}' cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class _Name:
    module: str
    name: str


@dataclass
class _Dtype:
    """A dtype; the file says its byte order after its kind."""

    code: str
    order: str = '='

    def made(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


class _Malformed(Exception):
    """The instruction cannot be followed."""


class _Machine:
    """One run over a pickle."""

    def __init__(self, file: ByteFile, tape: BinaryIO) -> None:
        self.file, self.tape = file, tape
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        while True:
            place = self.tape.tell()
            code = self.take(1)
            try:
                if code == b'.':
                    return self.result()
                self.step(code)
            except UserError:
                raise
            except (_Malformed, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
                raise UserError(f"'{self.file.path}' is damaged or no pickle: instruction {code!r} at byte {place} "
                                'cannot be followed.') from error

    def step(self, code: bytes) -> None:
        if code not in _INSTRUCTIONS:
            self.refuse(code)
        _INSTRUCTIONS[code](self)

    def refuse(self, code: bytes) -> None:
        """Raise what an unknown instruction deserves."""
        if code == b'i':  # INST: an instance; the names follow
            self.name(_Name(self.line(), self.line()), admitted={})
        if code in _FOREIGN:
            raise UserError(f"'{self.file.path}' is refused: it holds {_FOREIGN[code]} (byte {self.tape.tell() - 1}).\n"
                            f'{_EXPECTED}')
        raise _Malformed

    def result(self) -> object:
        value = self.stack.pop()
        if self.stack or self.below:
            raise _Malformed
        if rest := self.file.size - self.tape.tell():
            raise UserError(f"'{self.file.path}': {rest} bytes follow the end of the pickle at byte "
                            f'{self.tape.tell()}, expected none.')
        return value

    # What is read from the file

    def take(self, length: int) -> bytes:
        place = self.tape.tell()
        content = self.tape.read(length)
        if len(content) < length:
            raise cut_off(self.file.path, place, length, len(content))
        return content

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def skip(self, length: int, code: Code, is_text: bool) -> Stored:
        """The place of the next bytes, which are not read."""
        stored = Stored(self.tape.tell(), length, code, is_text)
        if stored.start + length > self.file.size:
            raise cut_off(self.file.path, stored.start, length, self.file.size - stored.start)
        self.tape.seek(length, 1)
        return stored

    def raw_line(self) -> bytes:
        place = self.tape.tell()
        line = self.tape.readline()
        if not line.endswith(b'\n'):
            raise cut_off(self.file.path, place, len(line) + 1, len(line))
        return line[:-1]

    def line(self) -> str:
        return self.raw_line().decode('latin-1')

    def whole(self) -> int:
        """A number written as a line of text."""
        text = self.line()
        if not re.fullmatch('-?[0-9]{1,20}L?', text):
            raise _Malformed
        return int(text.rstrip('L'))

    # What lies on the stack

    def put(self, value: object) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise _Malformed
        self.stack[-1].extend(values)

    def tuple_of(self, length: int) -> None:
        if len(self.stack) < length:
            raise _Malformed
        self.stack[-length:] = [tuple(self.stack[-length:])]

    def text(self, value: object) -> str:
        """A short str or bytes of the file as str."""
        if not isinstance(value, Stored) or value.length > 1000:
            raise _Malformed
        return stored_bytes(self.file, value).decode('latin-1')

    # What would run code elsewhere

    def name(self, name: _Name, admitted: dict[_Name, Any] | None = None) -> None:
        if name not in (_ADMITTED if admitted is None else admitted):
            shown = ascii(f'{name.module}.{name.name}'[:80])
            raise UserError(f"'{self.file.path}' is refused: it would call {shown} when unpickled "
                            f'(by byte {self.tape.tell()}).\n{_EXPECTED}')
        self.put(name)

    def stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name(_Name(self.text(module), self.text(name)))

    def reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or name not in _MAKERS or type(arguments) is not tuple:
            raise _Malformed
        self.put(_MAKERS[name](self, *arguments))

    def build(self) -> None:
        state = self.stack.pop()
        value = self.stack[-1]
        if type(state) is not tuple:
            raise _Malformed
        if isinstance(value, _Dtype):
            value.order = self.text(state[1]).replace('|', '=')
            if value.order not in ('<', '>', '='):
                raise _Malformed
        elif isinstance(value, Array):
            _, shape, dtype, _, content = state
            _fill(value, dtype, shape, content)
        else:
            raise _Malformed


def _fill(array: Array, dtype: object, shape: object, content: object) -> None:
    """Say what an array holds. The order of axes is not kept: only arrays of one axis mean anything here."""
    if not isinstance(dtype, _Dtype) or not isinstance(content, Stored) or content.is_text:
        raise _Malformed
    if type(shape) is not tuple or len(shape) > 8:
        raise _Malformed
    if not all(type(axis) is int and 0 <= axis < 1 << 40 for axis in shape):
        raise _Malformed
    array.dtype, array.shape, array.content = dtype.made(), shape, content


def _encoded(machine: _Machine, text: object, encoding: object = None) -> Stored:
    """_codecs.encode and bytearray: bytes, written as text in Latin-1 or as themselves."""
    if encoding is not None and machine.text(encoding) not in ('latin1', 'latin-1'):
        raise _Malformed
    if not isinstance(text, Stored) or text.is_text != (encoding is not None):
        raise _Malformed
    return replace(text, is_text=False)


def _empty(machine: _Machine) -> Stored:
    """bytes(): what Python 3 writes for b'' in protocols 0 to 2."""
    return Stored(0, 0, Code.RAW)


def _bytearray(machine: _Machine, *arguments: object) -> Stored:
    return _encoded(machine, *arguments) if arguments else _empty(machine)


def _dtype(machine: _Machine, code: object, align: object = 0, copy: object = 1) -> _Dtype:
    text = machine.text(code)
    if not re.fullmatch('b1|[iu][1248]', text):
        raise UserError(f"'{machine.file.path}' is refused: it holds a numpy array of kind {ascii(text[:20])}, "
                        'expected bools or whole numbers.')
    return _Dtype(text)


def _array(machine: _Machine, kind: object, shape: object, code: object) -> Array:
    """numpy's _reconstruct: an array that a state fills later."""
    if kind != _Name('numpy', 'ndarray'):
        raise _Malformed
    return Array()


def _array_of_buffer(machine: _Machine, content: object, dtype: object, shape: object, order: object) -> Array:
    """numpy's _frombuffer: an array as protocol 5 writes it."""
    array = Array()
    _fill(array, dtype, shape, content)
    return array


def _scalar(machine: _Machine, dtype: object, content: object) -> int | bool:
    array = Array()
    _fill(array, dtype, (), content)
    return array.values(machine.file).item()


_MAKERS: dict[_Name, Callable[..., Any]] = {
    _Name('_codecs', 'encode'): _encoded,
    _Name('numpy', 'dtype'): _dtype,
    **{_Name(module, 'bytes'): _empty for module in ('builtins', '__builtin__')},
    **{_Name(module, 'bytearray'): _bytearray for module in ('builtins', '__builtin__')},
    **{_Name(f'numpy.{core}.multiarray', '_reconstruct'): _array for core in ('core', '_core')},
    **{_Name(f'numpy.{core}.multiarray', 'scalar'): _scalar for core in ('core', '_core')},
    **{_Name(f'numpy.{core}.numeric', '_frombuffer'): _array_of_buffer for core in ('core', '_core')},
}
_ADMITTED = {**_MAKERS, _Name('numpy', 'ndarray'): None}
_EXPECTED = 'Expected nothing but bytes, whole numbers, bools, lists and numpy arrays.'


def _protocol(machine: _Machine) -> None:
    if machine.number('<B') > 5:
        raise _Malformed


def _integer_line(machine: _Machine) -> None:
    """INT: also how protocols 0 and 1 write bools, as 00 and 01."""
    place = machine.tape.tell()
    text = machine.line()
    if text in ('00', '01'):
        return machine.put(text == '01')
    machine.tape.seek(place)
    machine.put(machine.whole())


def _quoted(machine: _Machine) -> None:
    """STRING: the repr of a str of Python 2."""
    start = machine.tape.tell()
    line = machine.raw_line()
    if len(line) < 2 or line[:1] not in (b'"', b"'") or line[-1:] != line[:1]:
        raise _Malformed
    machine.put(Stored(start + 1, len(line) - 2, Code.QUOTED))


def _unicode_line(machine: _Machine) -> None:
    start = machine.tape.tell()
    machine.put(Stored(start, len(machine.raw_line()), Code.ESCAPED, is_text=True))


def _long(machine: _Machine) -> None:
    machine.put(int.from_bytes(machine.take(machine.number('<B')), 'little', signed=True))


def _sized(form: str, code: Code, is_text: bool = False) -> Callable[[_Machine], None]:
    """An instruction for so many bytes, the length before them."""
    return lambda machine: machine.put(machine.skip(machine.number(form), code, is_text))


def _constant(value: object) -> Callable[[_Machine], None]:
    return lambda machine: machine.put(value)


def _integer(form: str) -> Callable[[_Machine], None]:
    return lambda machine: machine.put(machine.number(form))


def _remember(number: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine.memo.__setitem__(number(machine), machine.stack[-1])


def _recall(number: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine.put(machine.memo[number(machine)])


def _byte(machine: _Machine) -> int:
    return machine.number('<B')


def _word(machine: _Machine) -> int:
    return machine.number('<I')


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], None]] = {
    b'\x80': _protocol,
    b'\x95': lambda machine: machine.number('<Q') and None,                             # FRAME: only helps reading
    b'(': _Machine.mark, b'0': lambda machine: machine.stack.pop() and None,
    b'N': _constant(None), b'\x88': _constant(True), b'\x89': _constant(False),
    b'I': _integer_line, b'J': _integer('<i'), b'K': _integer('<B'), b'M': _integer('<H'),
    b'L': lambda machine: machine.put(machine.whole()), b'\x8a': _long,
    b'S': _quoted, b'T': _sized('<I', Code.RAW), b'U': _sized('<B', Code.RAW),          # str of Python 2
    b'B': _sized('<I', Code.RAW), b'C': _sized('<B', Code.RAW), b'\x8e': _sized('<Q', Code.RAW),
    b'\x96': _sized('<Q', Code.RAW),                                                    # bytearray
    b'V': _unicode_line, b'X': _sized('<I', Code.UTF8, True), b'\x8c': _sized('<B', Code.UTF8, True),
    b'\x8d': _sized('<Q', Code.UTF8, True),
    b']': lambda machine: machine.put([]), b'l': lambda machine: machine.put(machine.since_mark()),
    b'a': lambda machine: machine.extend([machine.stack.pop()]),
    b'e': lambda machine: machine.extend(machine.since_mark()),
    b')': _constant(()), b't': lambda machine: machine.put(tuple(machine.since_mark())),
    b'\x85': lambda machine: machine.tuple_of(1), b'\x86': lambda machine: machine.tuple_of(2),
    b'\x87': lambda machine: machine.tuple_of(3),
    b'p': _remember(_Machine.whole), b'q': _remember(_byte), b'r': _remember(_word),
    b'\x94': _remember(lambda machine: len(machine.memo)),
    b'g': _recall(_Machine.whole), b'h': _recall(_byte), b'j': _recall(_word),
    b'c': lambda machine: machine.name(_Name(machine.line(), machine.line())), b'\x93': _Machine.stack_name,
    b'R': _Machine.reduce, b'b': _Machine.build,
}
_FOREIGN = {
    b'o': 'an instance of a class', b'\x81': 'an instance of a class', b'\x92': 'an instance of a class',
    b'\x82': 'an extension code', b'\x83': 'an extension code', b'\x84': 'an extension code',
    b'P': 'a reference to an outside object', b'Q': 'a reference to an outside object',
    b'\x97': 'a buffer outside the file', b'\x98': 'a buffer outside the file',
    b'}': 'a dict', b'd': 'a dict', b'\x8f': 'a set', b'F': 'a float', b'G': 'a float',
}
"""What well-formed pickles may hold and face sets do not."""
