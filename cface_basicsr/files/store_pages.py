"""Are the pages of an LMDB what they should be? LMDB believes them: a wrong number in one ends the process.

LMDB 0.9 has a file of pages. The first two are its heads, the newer one counts; from there a tree of branches leads to
the leaves, which hold keys, and small values or the number of the first page of a value. (Source: lmdb.h and mdb.c.)
Only branches and leaves are read here, about one page for sixty images; reading images would read them too.
"""

import os
import struct
from functools import cache
from pathlib import Path

import numpy as np

_HEAD = struct.Struct('<QHHHH')  # number, unused, kind, end and start of the free space in it
_META = struct.Struct('<IIQQ48xIHHQQQQQQQ')  # magic, version, place, map, free pages; tree; last page, number
_MAGIC, _VERSION, _BRANCH, _LEAF, _IS_META = 0xBEEFC0DE, 1, 1, 2, 8
_NODE, _LONGEST_KEY, _MOST_LEVELS = 8, 511, 30
_WORDS = np.arange(_NODE // 2)


def wrong_page(path: Path) -> str:
    """What is wrong in a data.mdb; '' if nothing is. A process and its forks look at each state of a file once."""
    state = path.stat()
    return _wrong_page(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


@cache
def _wrong_page(path: Path, *state: int) -> str:
    try:
        if os.path.getsize(path) < 2 * 256:
            return 'it has no head'
        _check(np.memmap(path, np.uint8, 'r').view(np.ndarray))  # a part of a memmap takes longer to make than to read
    except (ValueError, struct.error, IndexError) as error:
        return str(error)
    return ''


def _check(content: np.ndarray) -> None:
    size = struct.unpack_from('<I', content, 40)[0]
    if size not in [256 << power for power in range(9)] or len(content) < 2 * size:
        raise ValueError('its head is damaged')
    metas = [_meta(content, number, size) for number in (0, 1)]
    *_, flags, depth, _, leaves, _, entries, root, last, _ = max(metas, key=lambda meta: meta[-1])
    if (last + 1) * size > len(content):
        raise ValueError(f'data.mdb has {len(content)} bytes, expected {(last + 1) * size}')
    if flags or depth > _MOST_LEVELS or (root > last and entries):
        raise ValueError('its head is damaged')
    pages, found = [root] if entries else [], 0
    seen: set[int] = set()
    for level in range(depth):
        below: list[int] = []
        for page in pages:
            if page in seen or not 2 <= page <= last:
                raise ValueError(f'page {page} is out of place')
            seen.add(page)
            one = content[page * size:(page + 1) * size]
            if level < depth - 1:
                below += _branch(one, page)
            else:
                found += _leaf(one, page, size, last)
        pages = below
    if found != entries:
        raise ValueError(f'its head counts {entries} images, its pages hold {found}')


def _meta(content: np.ndarray, number: int, size: int) -> tuple[int, ...]:
    _, _, kind, _, _ = _HEAD.unpack_from(content, number * size)
    meta = _META.unpack_from(content, number * size + _HEAD.size)
    if not kind & _IS_META or meta[:2] != (_MAGIC, _VERSION):
        raise ValueError('its head is damaged')
    return meta


def _nodes(page: np.ndarray, number: int, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Where keys end, and the heads of nodes (n, 4): two words of a size or page, flags, length of the key."""
    own, _, is_kind, lower, upper = _HEAD.unpack_from(page, 0)
    if own != number or is_kind != kind or lower % 2 or not _HEAD.size < lower <= upper <= len(page):
        raise ValueError(f'page {number} is damaged')
    starts = page[_HEAD.size:lower].view('<u2').astype(np.int64)
    if starts.min() < upper or starts.max() > len(page) - _NODE or (starts % 2).any():
        raise ValueError(f'page {number} is damaged')
    heads = page.view('<u2')[(starts >> 1)[:, None] + _WORDS].astype(np.int64)
    ends = starts + _NODE + heads[:, 3]
    if heads[:, 3].max() > _LONGEST_KEY or ends.max() > len(page):
        raise ValueError(f'page {number} is damaged')
    return ends, heads


def _branch(page: np.ndarray, number: int) -> list[int]:
    """The pages below one."""
    _, heads = _nodes(page, number, _BRANCH)
    return (heads[:, 0] | heads[:, 1] << 16 | heads[:, 2] << 32).tolist()


def _leaf(page: np.ndarray, number: int, size: int, last: int) -> int:
    """How many values a leaf has, all of which are within the file."""
    ends, heads = _nodes(page, number, _LEAF)
    lengths, large = heads[:, 0] | heads[:, 1] << 16, heads[:, 2] == 1
    if (heads[:, 2] > 1).any() or (ends + np.where(large, 8, lengths)).max() > size:
        raise ValueError(f'page {number} is damaged')
    if large.any():
        firsts = page[ends[large][:, None] + np.arange(8)].copy().view('<u8')[:, 0]
        pages = (_HEAD.size - 1 + lengths[large]) // size + 1
        if firsts.min() < 2 or firsts.max() > last or (firsts.astype(np.int64) + pages - 1).max() > last:
            raise ValueError(f'page {number} names pages that do not exist')
    return len(heads)
