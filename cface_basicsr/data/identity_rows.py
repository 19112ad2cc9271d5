"""The rows of each identity, in flat arrays: for any number of identities, with labels in any order."""

from collections.abc import Iterator

import numpy as np


class IdentityRows:
    """Row numbers grouped by label."""

    def __init__(self, labels: np.ndarray) -> None:
        """
        Args:
            labels: (N,) ints.
        """
        kind = np.int32 if len(labels) < 1 << 31 else np.int64  # millions of rows are kept in memory
        self._order = np.argsort(labels, kind='stable').astype(kind)  # rows, sorted by label, then by row
        ordered = np.asarray(labels)[self._order]
        first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.array([], np.int64)
        self._bounds = np.append(first, len(ordered))
        self._place = np.empty(len(ordered), kind)
        self._place[self._order] = np.arange(len(ordered), dtype=kind)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The rows of each identity, ascending."""
        for start, end in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            yield self._order[start:end]

    def other(self, row: int, number: int) -> int | None:
        """Another row of the same identity, each with the same probability; None if there is no other.

        Args:
            row: whose identity.
            number: a random draw, any int >= 0.
        """
        place = self._place[row]
        group = int(np.searchsorted(self._bounds, place, side='right')) - 1
        start, end = self._bounds[group], self._bounds[group + 1]
        if end - start == 1:
            return None
        chosen = start + number % int(end - start - 1)
        return int(self._order[chosen + (chosen >= place)])
