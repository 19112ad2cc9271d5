"""The rows of each identity."""

from collections import Counter

import numpy as np

from cface_basicsr.data.identity_rows import IdentityRows


def test_rows_are_grouped_whatever_the_order_of_labels() -> None:
    groups = [rows.tolist() for rows in IdentityRows(np.array([5, 2, 5, 9, 2, 5]))]
    assert groups == [[1, 4], [0, 2, 5], [3]]


def test_another_row_is_never_the_row_itself_and_each_is_equally_frequent() -> None:
    identities = IdentityRows(np.array([5, 2, 5, 9, 2, 5]))
    for row, others in ((0, [2, 5]), (2, [0, 5]), (5, [0, 2]), (1, [4])):
        drawn = Counter(identities.other(row, number) for number in range(60))
        assert drawn == dict.fromkeys(others, 60 // len(others))


def test_an_identity_with_one_row_has_no_other() -> None:
    assert IdentityRows(np.array([5, 9])).other(1, 3) is None


def test_no_rows_give_no_identities() -> None:
    assert list(IdentityRows(np.array([], int))) == []
