"""Writes RecordIO files as MXNet does, and sets as InsightFace's packer does, without the code under test."""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

MAGIC = b'\x0a\x23\xd7\xce'


def record(payload: bytes) -> bytes:
    """One record of MXNet: split wherever a word of the payload is the magic number."""
    pieces, begin = [], 0
    for place in range(0, len(payload) // 4 * 4, 4):
        if payload[place:place + 4] == MAGIC:
            pieces.append(payload[begin:place])
            begin = place + 4
    pieces.append(payload[begin:])
    kinds = [0] if len(pieces) == 1 else [1] + [2] * (len(pieces) - 2) + [3]
    return b''.join(MAGIC + struct.pack('<I', kind << 29 | len(piece)) + piece + b'\0' * (-len(piece) % 4)
                    for kind, piece in zip(kinds, pieces, strict=True))


def image_record(labels: float | Sequence[float], number: int, image: bytes) -> bytes:
    """The payload of an image: IRHeader with one label, or with several after it."""
    if isinstance(labels, Sequence):
        packed = struct.pack(f'<{len(labels)}f', *labels)
        return struct.pack('<IfQQ', len(labels), 0.0, number, 0) + packed + image
    return struct.pack('<IfQQ', 0, labels, number, 0) + image


def write_records(folder: Path, payloads: Iterable[tuple[int, bytes]], prop: str | None = None,
                  idx: bool = True) -> Path:
    """Write train.rec with (number, payload) in this order, and train.idx and property if wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    content, lines = b'', []
    for number, payload in payloads:
        lines.append(f'{number}\t{len(content)}\n')
        content += record(payload)
    (folder / 'train.rec').write_bytes(content)
    if idx:
        (folder / 'train.idx').write_text(''.join(lines))
    if prop is not None:
        (folder / 'property').write_text(prop)
    return folder


def insightface_payloads(people: Sequence[tuple[int, Sequence[bytes]]]) -> list[tuple[int, bytes]]:
    """(number, payload) of a set in the order of InsightFace's packer: images, header record 0, identity records.

    Args:
        people: (label, images) of each person.
    """
    payloads, ranges, number = [], [], 1
    for label, images in people:
        ranges.append((number, number + len(images)))
        for image in images:
            payloads.append((number, image_record([label, 1.0], number, image)))
            number += 1
    payloads.append((0, image_record([number, number + len(ranges)], 0, b'')))
    return payloads + [(number + row, image_record(ends, number + row, b'')) for row, ends in enumerate(ranges)]


def write_set(folder: Path, people: Sequence[tuple[int, Sequence[bytes]]], idx: bool = True) -> Path:
    """Write a whole set with header and identity records; its property says that the images are 112x112."""
    classes = 1 + max(label for label, _ in people)
    return write_records(folder, insightface_payloads(people), f'{classes},112,112\n', idx)
