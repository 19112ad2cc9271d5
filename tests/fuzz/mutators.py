# ruff: noqa: E501
"""From a valid file to a hostile one, by what its kind is made of: bytes, words, values, chunks, pages, messages."""

import io
import json
import random
import re
import struct
import zlib
from typing import Any

import torch

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
WORDS = ('', '0', '-1', '999999999999', '1e999', 'nan', '-inf', '9' * 5000, 'x' * 70000, '\x1b[31mred\x07', '\udcff\udc80',
         '../../etc/passwd', '"', ',,,,', '\t', '\0', 'ä' * 100, '٣', '1_000', '0x10', '{', '[' * 3000, "'", '999999999999 0')
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float('inf'), float('nan'), 10 ** 30, 10 ** 9, 10 ** 8, '', 'x', '\x1b[2J', '\udcff', 'y' * 5000,
    [], {}, [[]], {'': None}, [1, 2, 3], 'SpyNet', 'VGGFeatureExtractor', [10 ** 9] * 2, {'k': 10 ** 12})
NESTED = (b'[' * 100_000, b'{"a":' * 100_000, b'- ' * 50_000, b'[' * 900 + b']' * 900)
YAML = ('a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
            f'{name}: &{name} [{", ".join([f"*{before}"] * 9)}]\n' for before, name in zip('abcdefgh', 'bcdefghi', strict=True)),
        'm: &m {a: 1}\nn: &n {<<: [*m, *m]}\no: {<<: [*n, *n, *m]}\n', 'a: &a [*a]\n', 'x: !!python/object/apply:os.system [id]\n',
        'plugin: !!python/name:evilmod.X\n', '? [a, b]\n: c\n', '!!int x\n', '2024-13-01: x\n', '? &a ? &b c\n', '%YAML 9.9\n---\n',
        'a: !!binary "\x1b"\n', '<<: 3\n', 'b: !!set {a, b}\n', '{}: {}\n', '- - - -\n', 'scale: 99999999999999999999\n', 'a: 1:30:99999\n')


def change_bytes(content: bytes, chance: random.Random) -> bytes:
    """Flipped, overwritten, cut, doubled, or cut-off bytes."""
    data = bytearray(content or b'\0')
    place = chance.randrange(len(data))
    match chance.randrange(7):
        case 0:
            data[place] ^= 1 << chance.randrange(8)
        case 1:
            size, value = chance.choice((1, 2, 4, 8)), chance.choice(EXTREMES)
            order = chance.choice(('little', 'big'))
            data[place:place + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, order)
        case 2:
            del data[place:]
        case 3:
            del data[place:place + chance.choice((1, 4, 16, 300))]
        case 4:
            data[place:place] = data[place:place + chance.choice((1, 8, 200))]
        case 5:
            data[place:place] = chance.randbytes(chance.choice((1, 4, 64)))
        case 6:
            for _ in range(chance.choice((2, 10, 50))):
                data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def change_text(content: bytes, chance: random.Random) -> bytes:
    """A word or line of a table that is another, or is missing."""
    if chance.random() < 0.25:
        return change_bytes(content, chance)
    text = content.decode('utf-8', 'surrogateescape')
    if chance.random() < 0.3:
        lines = text.split('\n')
        place = chance.randrange(len(lines))
        lines[place:place + 1] = chance.choice(([], [lines[place]] * 2, [chance.choice(WORDS)], [chance.choice(lines)]))
        text = '\n'.join(lines)
    else:
        words = re.split(r'([\s,;/]+)', text)
        words[chance.randrange(len(words))] = chance.choice(WORDS)
        text = ''.join(words)
    return text.encode('utf-8', 'surrogateescape')


def change_value(value: Any, chance: random.Random) -> Any:
    """A nested value in which one entry is another, is missing, or has another name."""
    if not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(VALUES)
    changed = value.copy()
    place = chance.choice(list(changed) if isinstance(value, dict) else range(len(changed)))
    match chance.randrange(8):
        case 0:
            del changed[place]
        case 1 if isinstance(value, dict):
            changed[chance.choice(('', 'x' * 300, '\x1b[31m', place + '2'))] = changed.pop(place)
        case _:
            changed[place] = change_value(changed[place], chance)
    return changed


def change_json(content: bytes, chance: random.Random) -> bytes:
    """Another value somewhere in it, values without end, or other bytes."""
    kind = chance.random()
    if kind < 0.03:
        return chance.choice(NESTED)
    try:
        return change_bytes(content, chance) if kind < 0.3 else json.dumps(change_value(json.loads(content),
                                                                                         chance)).encode()
    except (ValueError, RecursionError):
        return change_bytes(content, chance)


def change_yaml(content: bytes, chance: random.Random) -> bytes:
    """Lines that mean more than they look like, words, values."""
    kind = chance.random()
    if kind < 0.02:
        return chance.choice(NESTED)
    if kind < 0.3:
        lines = content.decode('utf-8', 'surrogateescape').split('\n')
        place = chance.randrange(len(lines) + 1)
        lines[place:place] = [chance.choice(YAML)]
        return '\n'.join(lines).encode('utf-8', 'surrogateescape')
    return change_text(content, chance)


def change_npy(content: bytes, chance: random.Random) -> bytes:
    """Another header before the same numbers."""
    if chance.random() < 0.4 or content[:6] != b'\x93NUMPY':
        return change_bytes(content, chance)
    shapes = ('(-1, 4)', '(1000000000000, 4)', '(3, 1000000000000)', '()', '(4,)', '(2, 3, 4)', '(0, 0)', '(9' + '9' * 300 + ',)',
              '(3.5, 2)', "'x'", '(True, 4)', '(' * 90, '[12, 4]')
    kinds = ("'<f4'", "'|O'", "'<f8'", "'|V100000000'", "'<i4'", "'x'", "[('a', '<f4')]", "'<U1000000000'", '5', "'<f2'", "'<M8[D]'")
    head = f"{{'descr': {chance.choice(kinds)}, 'fortran_order': {chance.choice(('False', 'True', '3'))}, " \
           f"'shape': {chance.choice(shapes)}, }}{chance.choice(('', chr(40), chr(0), ' ' * 70000))}\n".encode()
    version = chance.choice((1, 1, 2, 3, 9))
    length = chance.choice((len(head), len(head), len(head) - 3, 0xFFFF)) & 0xFFFF
    size = struct.pack('<H', length) if version == 1 else struct.pack('<I', chance.choice((len(head), 0xFFFFFFFF)))
    return b'\x93NUMPY' + bytes([version, 0]) + size + head + content[128:]


def change_pth(content: bytes, chance: random.Random) -> bytes:
    """A network that asks for more than the file has, tensors of other shapes, or other bytes."""
    if chance.random() < 0.4:
        return change_bytes(content, chance)
    try:
        held = torch.load(io.BytesIO(content), weights_only=True)
    except Exception:
        return change_bytes(content, chance)
    if not isinstance(held, dict):
        return change_bytes(content, chance)
    kind = chance.random()
    if kind < 0.6 and isinstance(held.get('network'), dict):
        held = held | {'network': change_value(held['network'], chance)}
    elif kind < 0.8 and isinstance(held.get('params'), dict) and held['params']:
        name = chance.choice(list(held['params']))
        held['params'][name] = chance.choice((torch.zeros(0), torch.zeros(3, 3).to_sparse(), torch.zeros(1).expand(10 ** 9),
                                              torch.tensor(1), torch.zeros(2, dtype=torch.complex64), 3, None,
                                              torch.full((2, 2), float('nan'))))
    else:
        held = change_value(held, chance)
    file = io.BytesIO()
    try:
        torch.save(held, file)
    except Exception:
        return change_bytes(content, chance)
    return file.getvalue()


def change_safetensors(content: bytes, chance: random.Random) -> bytes:
    """Another header before the same numbers, or a network in it that asks for more than the file has."""
    start = 8 + int.from_bytes(content[:8], 'little')
    try:
        header = json.loads(content[8:start])
        if chance.random() < 0.4 or not isinstance(header, dict):
            return change_bytes(content, chance)
        facts = header.get('__metadata__')
        if chance.random() < 0.5 and isinstance(facts, dict) and 'network' in facts:
            network = json.dumps(change_value(json.loads(facts['network']), chance))
            header = header | {'__metadata__': facts | {'network': network}}
        else:
            header = change_value(header, chance)
        text = json.dumps(header).encode()
        text += b' ' * (-len(text) % 8)
    except (ValueError, RecursionError, TypeError):
        return change_bytes(content, chance)
    length = chance.choice((len(text),) * 6 + EXTREMES[:2])
    return (length & (1 << 64) - 1).to_bytes(8, 'little') + text + content[start:]


def change_mat(content: bytes, chance: random.Random) -> bytes:
    """Other bytes inside the compressed elements of a MATLAB file, which are packed again."""
    place, elements = 128, []
    try:
        while place < len(content):
            kind, length = struct.unpack_from('<II', content, place)
            elements.append((kind, content[place + 8:place + 8 + length]))
            place += 8 + length
        number = chance.randrange(len(elements))
        kind, body = elements[number]
        plain = zlib.decompress(body) if kind == 15 else body
        for _ in range(chance.choice((1, 1, 3))):
            spot = 4 * chance.randrange(max(1, min(len(plain), chance.choice((64, 512, 1 << 20))) // 4))
            plain = plain[:spot] + struct.pack('<I', chance.choice(EXTREMES) & 0xFFFFFFFF) + plain[spot + 4:]
        elements[number] = (kind, zlib.compress(plain) if kind == 15 else plain)
        return content[:128] + b''.join(struct.pack('<II', kind, len(body)) + body for kind, body in elements)
    except (struct.error, zlib.error, ValueError):
        return change_bytes(content, chance)


def change_lmdb(content: bytes, chance: random.Random) -> bytes:
    """Other numbers in the heads of pages and nodes."""
    if chance.random() < 0.2 or len(content) < 8192:
        return change_bytes(content, chance)
    pages = [page for page in range(len(content) // 4096)
             if page < 2 or content[4096 * page:4096 * page + 8] == page.to_bytes(8, 'little')]
    page = 4096 * chance.choice(pages)
    data = bytearray(content)
    if page < 8192:
        spot = page + chance.choice((0, 10, 12, 16, 20, 24, 32, 40, 44, 46, 48, 80, 88, 92, 94, 96, 104, 112, 120, 128, 136, 144))
    else:
        lower = min(struct.unpack_from('<H', data, page + 12)[0], 4096)
        node = struct.unpack_from('<H', data, page + 16 + 2 * chance.randrange(max(1, (lower - 16) // 2)))[0] & 0xFFF
        spot = page + chance.choice((0, 8, 10, 12, 14, 16, 18, node, node + 2, node + 4, node + 6, node + 8, node + 16, node + 20))
    size = chance.choice((1, 2, 4, 8))
    value = chance.choice((*EXTREMES, len(pages), len(content) // 4096, chance.randrange(1 << 16)))
    data[spot:spot + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, 'little')
    return bytes(data[:len(content)])


def change_records(content: bytes, chance: random.Random) -> bytes:
    """Other numbers at multiples of four bytes, where RecordIO has its heads."""
    if chance.random() < 0.4:
        return change_bytes(content, chance)
    heads = [found.start() for found in re.finditer(re.escape(struct.pack('<I', 0xCED7230A)), content)] or [0]
    spot = chance.choice(heads) + 4 * chance.randrange(9)
    return content[:spot] + struct.pack('<I', chance.choice(EXTREMES) & 0xFFFFFFFF) + content[spot + 4:]


def change_png(content: bytes, chance: random.Random) -> bytes:
    """Another head, or other chunks, with sums that fit."""
    if chance.random() < 0.4 or content[:4] != b'\x89PNG' or len(content) < 40:
        return change_bytes(content, chance)
    chunks, place = [], 8
    while place + 8 <= len(content):
        length = struct.unpack_from('>I', content, place)[0]
        chunks.append((content[place + 4:place + 8], content[place + 8:place + 8 + length]))
        place += 12 + length
    number = chance.randrange(len(chunks))
    name, body = chunks[number]
    if name == b'IHDR':
        side = (0, 1, 40, 5000, 60000, 0x7FFFFFFF)
        body = struct.pack('>IIBBBBB', chance.choice(side), chance.choice(side), chance.choice((0, 1, 8, 16, 255)),
                           chance.choice((0, 2, 3, 4, 6, 9)), 0, 0, chance.choice((0, 1)))
    chunks[number:number + 1] = chance.choice((
        [(name, body)], [(name, change_bytes(body, chance))], [(name, body)] * 2, [],
        [(name, body), (chance.choice((b'PLTE', b'tRNS', b'eXIf', b'iCCP', b'zTXt', b'acTL')), chance.randbytes(60))]))
    return content[:8] + b''.join(struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
                                  for name, body in chunks)


def change_jpeg(content: bytes, chance: random.Random) -> bytes:
    """Other sizes in the frame's head."""
    found = re.search(rb'\xff[\xc0\xc2]', content)
    if not found or chance.random() < 0.6:
        return change_bytes(content, chance)
    spot = found.start() + chance.choice((2, 4, 5, 7, 9, 10, 11))
    return content[:spot] + struct.pack('>H', chance.choice((0, 1, 8, 0x7FFF, 0xFFFF))) + content[spot + 2:]


def change_onnx(content: bytes, chance: random.Random) -> bytes:
    """Another number or word somewhere in the network."""
    import onnx
    try:
        if chance.random() < 0.3:
            return change_bytes(content, chance)
        model = onnx.ModelProto.FromString(content)
        spots = list(_onnx_spots(model.graph))
        chance.choice(spots)(chance)
        return model.SerializeToString()
    except Exception:
        return change_bytes(content, chance)


def _onnx_spots(graph: Any) -> Any:
    sizes = (-1, 0, 1, 2, 7, 10 ** 4, 10 ** 6, 10 ** 9, (1 << 62))
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            yield lambda chance, dim=dim: setattr(dim, 'dim_value', chance.choice(sizes))
    for weight in graph.initializer:
        yield lambda chance, weight=weight: weight.dims.__setitem__(0, chance.choice(sizes)) if weight.dims else None
        yield lambda chance, weight=weight: setattr(weight, 'data_type', chance.randrange(25))
        yield lambda chance, weight=weight: (setattr(weight, 'data_location', 1), weight.external_data.add(
            key='location', value=chance.choice(('../../../etc/passwd', '/dev/zero', 'x', '.'))))
    for node in graph.node:
        yield lambda chance, node=node: setattr(node, 'op_type', chance.choice(
            ('Relu', 'Flatten', 'Loop', 'Resize', 'ConstantOfShape', 'Tile', 'Expand', 'x', 'Reshape', 'Gemm', 'Concat')))
        for attribute in node.attribute:
            yield lambda chance, attribute=attribute: (attribute.ints.__setitem__(0, chance.choice(sizes))
                                                       if attribute.ints else setattr(attribute, 'i', chance.choice(sizes)))
        yield lambda chance, node=node: node.input.pop() if node.input else None


def change_npz(content: bytes, chance: random.Random) -> bytes:
    """One of the arrays of an archive is another file."""
    try:
        if chance.random() < 0.4:
            return change_bytes(content, chance)
        import zipfile
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as new:
            names = old.namelist()
            victim = chance.choice(names)
            for name in names:
                held = old.read(name)
                new.writestr(name, change_npy(held, chance) if name == victim else held)
        return file.getvalue()
    except Exception:
        return change_bytes(content, chance)


