"""What a prepared folder tells besides identities.csv: its pairs, and which of its faces are equal."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable

from cface_basicsr.data.layouts.source import Pair

PAIRS_HEADER = ['left', 'right', 'same', 'fold']


def duplicates(pixels: dict[str, str]) -> list[list[str]]:
    """Groups of keys with equal faces, sorted.

    Args:
        pixels: key -> hash of the face's pixels.
    """
    groups = defaultdict(list)
    for key, digest in sorted(pixels.items()):
        groups[digest].append(key)
    return sorted(group for group in groups.values() if len(group) > 1)


def pairs_table(pairs: Iterable[Pair]) -> str:
    """The text of pairs.csv: two keys, 1 for the same person or 0, the fold from 0; in the order of the protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(PAIRS_HEADER)
    writer.writerows([pair.left, pair.right, int(pair.same), pair.fold] for pair in pairs)
    return text.getvalue()
