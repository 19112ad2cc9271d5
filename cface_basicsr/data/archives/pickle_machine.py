"""The values in a pickle, found without running it.

A pickle is a program for a stack machine, and some of its instructions import and call whatever the file names. So
`pickle.load` is out of the question for files from elsewhere. An `Unpickler` that allows only a few names is not enough
either: numpy's own reconstruction would have to be one of them, and it takes internal state from the file. The machine
here is safe because of what it lacks:

- Nothing is imported or called by name. A name in the file is looked up in `_MAKERS`, whose functions are below; any
  other name is refused at the instruction that first mentions it.
- The instructions that build instances, look up extension codes or refer to outside objects do not exist.
- No array or object is made as the file demands: bytes stay in the file, and only their offsets are kept.

It understands what picklers of Python 2 and 3, protocols 0 to 5, write for lists, tuples, whole numbers, bools, bytes,
str, bytearray, and numpy's scalars and arrays of whole numbers and bools.

The standard library's `pickletools` knows the names of the instructions, what follows each in the file, and how many
values it takes from the stack. Its reader `genops` cannot be used: it expects the strings of Python 2 to be ASCII, so
it fails on a JPEG in protocol 0; it reads every image; and it does not say what is missing in a truncated file.
"""

import codecs
import enum
import pickletools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.data.archives.byte_file import ByteFile, truncated
from cface_basicsr.errors import UserError


class Code(enum.IntEnum):
    """How the file encodes bytes or text: as they are, quoted with escapes, as UTF-8, or as raw Unicode escapes."""

    RAW, QUOTED, UTF8, ESCAPED = range(4)


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes or text that stay in the file: their offset, their length in the file in bytes, and their encoding."""

    start: int
    length: int
    code: Code
    is_text: bool = False


@dataclass
class Array:
    """A numpy array whose content stays in the file; empty until the pickle has said what it holds."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] = ()
    content: Stored | None = None

    def check(self, file: ByteFile) -> None:
        """Check that the content is as long as the shape requires; it is read only if its length is not known.

        Raises:
            UserError: it is not.
        """
        stored = self.content
        length = stored.length if stored.code == Code.RAW else len(stored_bytes(file, stored))
        if length != prod(self.shape) * self.dtype.itemsize:
            raise UserError(f"'{file.path}' is damaged: expected {prod(self.shape) * self.dtype.itemsize} bytes in the "
                            f'array at byte {stored.start}, got {length}.')

    def values(self, file: ByteFile) -> NDArray[Any]:
        """The elements, in the shape of the array.

        Raises:
            UserError: the length of the content does not fit the shape.
        """
        self.check(file)
        return np.frombuffer(stored_bytes(file, self.content), self.dtype).reshape(self.shape)


def stored_bytes(file: ByteFile, stored: Stored) -> bytes:
    """The decoded bytes; text is encoded as Latin-1, because Python 3 writes bytes as such text for Python 2.

    Raises:
        UserError: they cannot be decoded, or the file has been truncated since.
    """
    raw = file.read(stored.start, stored.length)
    if len(raw) < stored.length:
        raise truncated(file.path, f'the value at byte {stored.start}', stored.length, len(raw))
    try:
        match stored.code:
            case Code.QUOTED:
                return codecs.escape_decode(raw)[0]
            case Code.UTF8:
                return raw.decode('utf-8').encode('latin-1')
            case Code.ESCAPED:
                return raw.decode('raw_unicode_escape').encode('latin-1')
        return raw
    except ValueError as error:
        raise UserError(f"'{file.path}' is damaged: the text at byte {stored.start} cannot be read.") from error


def pickled_values(file: ByteFile) -> object:
    """The value of a pickle: nested lists and tuples of int, bool, None, `Stored` and `Array`.

    Raises:
        UserError: it is not a pickle, is truncated, or holds anything else (the message names what it would call).
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
    """A dtype; its byte order comes later in the file than its kind."""

    code: str
    order: str = '='

    def as_numpy(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


class _Malformed(Exception):
    """An instruction cannot be followed."""


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
            except (_Malformed, IndexError, KeyError, TypeError, ValueError) as error:
                raise UserError(f"'{self.file.path}' is damaged or not a pickle: instruction {code!r} at byte {place} "
                                'cannot be followed.') from error

    def step(self, code: bytes) -> None:
        instruction = pickletools.code2op[code.decode('latin-1')]
        name = instruction.name
        if name == 'INST':  # an instance of a class, whose name follows
            self.admit(self.operand(instruction.arg), ())
        if name in _FOREIGN:
            raise UserError(f"'{self.file.path}' is refused: it holds {_FOREIGN[name]} (byte {self.tape.tell() - 1}).\n"
                            f'{_EXPECTED}')
        follow = _INSTRUCTIONS[name]
        operand = self.operand(instruction.arg)
        made = follow(self, operand, *self.taken(instruction.stack_before))
        if instruction.stack_after and name != 'MARK':  # MARK starts a new stack itself
            self.stack.append(made)

    def result(self) -> object:
        value = self.stack.pop()
        if self.stack or self.below:
            raise _Malformed
        if rest := self.file.size - self.tape.tell():
            raise UserError(f"'{self.file.path}': {rest} bytes follow the end of the pickle at byte "
                            f'{self.tape.tell()}, expected none.')
        return value

    # What follows an instruction in the file

    def operand(self, kind: pickletools.ArgumentDescriptor | None) -> Any:
        """A number, the offset of bytes or text, or a name; None if nothing follows."""
        if kind is None:
            return None
        if kind.n == pickletools.UP_TO_NEWLINE:
            return self.written_out(kind.name)
        if kind.n not in _LENGTHS:
            return self.number(kind.n, signed=kind.name == 'int4')
        length = self.number(_LENGTHS[kind.n])
        if kind.name == 'long1':
            return self.number(length, signed=True)
        start, is_text = self.tape.tell(), kind.name.startswith('unicode')
        if start + length > self.file.size:
            raise self.truncated(start, length, self.file.size - start)
        self.tape.seek(length, 1)  # images are read only when they are asked for
        return Stored(start, length, Code.UTF8 if is_text else Code.RAW, is_text)

    def written_out(self, kind: str) -> Any:
        """An operand that is written as lines of text: in protocol 0, and names."""
        start, line = self.tape.tell(), self.line()
        if kind == 'stringnl_noescape_pair':
            return _Name(line.decode('latin-1'), self.line().decode('latin-1'))
        if kind == 'unicodestringnl':
            return Stored(start, len(line), Code.ESCAPED, is_text=True)
        if kind == 'stringnl' and re.fullmatch(b'\'.*\'|".*"', line, re.DOTALL):  # the repr of a str of Python 2
            return Stored(start + 1, len(line) - 2, Code.QUOTED)
        if kind == 'decimalnl_short' and line in (b'00', b'01'):  # how protocols 0 and 1 write bools
            return line == b'01'
        if kind == 'stringnl' or not re.fullmatch(b'-?[0-9]{1,20}L?', line):
            raise _Malformed
        return int(line.rstrip(b'L'))

    def take(self, length: int) -> bytes:
        content = self.tape.read(length)
        if len(content) < length:
            raise self.truncated(self.tape.tell() - len(content), length, len(content))
        return content

    def number(self, length: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(length), 'little', signed=signed)

    def line(self) -> bytes:
        place = self.tape.tell()
        line = self.tape.readline()
        if not line.endswith(b'\n'):
            raise self.truncated(place, len(line) + 1, len(line))
        return line[:-1]

    def truncated(self, place: int, length: int, there: int) -> UserError:
        return truncated(self.file.path, f'the value at byte {place}', length, there)

    # What is on the stack

    def taken(self, kinds: list[pickletools.StackObject]) -> list[Any]:
        """What an instruction takes from the stack, lowest first: one value of each kind, and all since a mark."""
        values: list[Any] = []
        if pickletools.markobject in kinds:
            values, self.stack = self.stack, self.below.pop()
            kinds = kinds[:kinds.index(pickletools.markobject)]
        return [self.stack.pop() for _ in kinds][::-1] + values

    def text(self, value: object) -> str:
        """A short str or bytes in the file, as str."""
        if not isinstance(value, Stored) or value.length > 1000:
            raise _Malformed
        return stored_bytes(self.file, value).decode('latin-1')

    def admit(self, name: _Name, admitted: Collection[_Name]) -> _Name:
        """The name, if it is one of those admitted.

        Raises:
            UserError: it is not, so using it would run code from elsewhere.
        """
        if name not in admitted:
            shown = ascii(f'{name.module}.{name.name}'[:40])
            raise UserError(f"'{self.file.path}' is refused: it would call {shown} when unpickled "
                            f'(by byte {self.tape.tell()}).\n{_EXPECTED}')
        return name


def _filled(array: Array, dtype: object, shape: object, content: object) -> Array:
    """Say what an array holds. The order of axes is ignored, because only arrays with one axis are of use here."""
    is_whole = isinstance(dtype, _Dtype) and isinstance(content, Stored) and not content.is_text
    is_shape = type(shape) is tuple and len(shape) <= 8
    if not (is_whole and is_shape and all(type(axis) is int and 0 <= axis < 1 << 40 for axis in shape)):
        raise _Malformed
    array.dtype, array.shape, array.content = dtype.as_numpy(), shape, content
    return array


def _encoded(machine: _Machine, text: object, encoding: object = None) -> Stored:
    """_codecs.encode and bytearray: bytes, written as Latin-1 text or as they are."""
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
    """numpy's _reconstruct: an array that BUILD fills later."""
    if kind != _Name('numpy', 'ndarray'):
        raise _Malformed
    return Array()


def _array_of_buffer(machine: _Machine, content: object, dtype: object, shape: object, order: object) -> Array:
    """numpy's _frombuffer: an array in protocol 5."""
    return _filled(Array(), dtype, shape, content)


def _scalar(machine: _Machine, dtype: object, content: object) -> int | bool:
    return _filled(Array(), dtype, (), content).values(machine.file).item()


_MAKERS: dict[_Name, Callable[..., Any]] = {
    _Name('_codecs', 'encode'): _encoded,
    _Name('numpy', 'dtype'): _dtype,
    **{_Name(module, 'bytes'): _empty for module in ('builtins', '__builtin__')},
    **{_Name(module, 'bytearray'): _bytearray for module in ('builtins', '__builtin__')},
    **{_Name(f'numpy.{core}.multiarray', '_reconstruct'): _array for core in ('core', '_core')},
    **{_Name(f'numpy.{core}.multiarray', 'scalar'): _scalar for core in ('core', '_core')},
    **{_Name(f'numpy.{core}.numeric', '_frombuffer'): _array_of_buffer for core in ('core', '_core')},
}
_ADMITTED = {*_MAKERS, _Name('numpy', 'ndarray')}
_EXPECTED = 'Expected only bytes, whole numbers, bools, lists and numpy arrays.'


# What each instruction does: its arguments are its operand and what it takes from the stack, its result goes there.

def _check_protocol(machine: _Machine, protocol: int) -> None:
    if protocol > 5:
        raise _Malformed


def _mark(machine: _Machine, operand: None) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _extend(machine: _Machine, operand: None, target: object, *values: object) -> object:
    if type(target) is not list:
        raise _Malformed
    target.extend(values)
    return target


def _put(machine: _Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


def _memoize(machine: _Machine, operand: None, value: object) -> object:
    machine.memo[len(machine.memo)] = value
    return value


def _stack_global(machine: _Machine, operand: None, module: object, name: object) -> _Name:
    return machine.admit(_Name(machine.text(module), machine.text(name)), _ADMITTED)


def _reduce(machine: _Machine, operand: None, name: object, arguments: object) -> object:
    if not isinstance(name, _Name) or name not in _MAKERS or type(arguments) is not tuple:
        raise _Malformed
    return _MAKERS[name](machine, *arguments)


def _build(machine: _Machine, operand: None, value: object, state: object) -> object:
    if type(state) is not tuple:
        raise _Malformed
    if isinstance(value, _Dtype):
        value.order = machine.text(state[1]).replace('|', '=')
        if value.order not in ('<', '>', '='):
            raise _Malformed
    elif isinstance(value, Array):
        _, shape, dtype, _, content = state
        _filled(value, dtype, shape, content)
    else:
        raise _Malformed
    return value


_INSTRUCTIONS: dict[str, Callable[..., Any]] = {
    'PROTO': _check_protocol, 'MARK': _mark, 'MEMOIZE': _memoize, 'REDUCE': _reduce, 'BUILD': _build,
    'GLOBAL': lambda machine, name: machine.admit(name, _ADMITTED), 'STACK_GLOBAL': _stack_global,
    **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT'), _put),
    **dict.fromkeys(('GET', 'BINGET', 'LONG_BINGET'), lambda machine, number: machine.memo[number]),
    **dict.fromkeys(('APPEND', 'APPENDS'), _extend),
    **dict.fromkeys(('EMPTY_LIST', 'LIST'), lambda machine, operand, *values: list(values)),
    **dict.fromkeys(('EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3'), lambda machine, operand, *values: values),
    'NEWTRUE': lambda machine, operand: True, 'NEWFALSE': lambda machine, operand: False,
    **dict.fromkeys('INT BININT BININT1 BININT2 LONG LONG1 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES '
                    'BINBYTES8 BYTEARRAY8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 NONE'.split(),
                    lambda machine, operand: operand),
    **dict.fromkeys(('POP', 'FRAME'), lambda machine, *dropped: None),  # frames only speed up reading
}
_FOREIGN = {
    **dict.fromkeys(('OBJ', 'NEWOBJ', 'NEWOBJ_EX'), 'an instance of a class'),
    **dict.fromkeys(('EXT1', 'EXT2', 'EXT4'), 'an extension code'),
    **dict.fromkeys(('PERSID', 'BINPERSID'), 'a reference to an outside object'),
    **dict.fromkeys(('NEXT_BUFFER', 'READONLY_BUFFER'), 'a buffer outside the file'),
    **dict.fromkeys(('EMPTY_DICT', 'DICT'), 'a dict'), 'EMPTY_SET': 'a set',
    **dict.fromkeys(('FLOAT', 'BINFLOAT'), 'a float'),
}
"""What valid pickles may hold, but face sets do not."""

_LENGTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4,
            pickletools.TAKEN_FROM_ARGUMENT4U: 4, pickletools.TAKEN_FROM_ARGUMENT8U: 8}
"""The number of bytes in which the length of an operand is written, by pickletools' constant for it."""
