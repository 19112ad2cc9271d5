"""What is kept in memory: the newest, up to a number of bytes."""

import pytest

from cface_basicsr.errors import UserError
from cface_basicsr.serving.kept import Kept


def test_what_was_used_longest_ago_goes_first_and_the_newest_stays_whatever_its_size() -> None:
    kept = Kept(10)
    first, second = kept.add(b'first', 5), kept.add(b'second', 5)
    assert kept.get(first, bytes) == b'first'
    third = kept.add(b'third', 1)
    assert kept.get(first, bytes) == b'first' and kept.get(third, bytes) == b'third'
    with pytest.raises(UserError, match='is not kept any more. Add it once more.'):
        kept.get(second, bytes)
    large = kept.add(b'large', 11)
    assert kept.get(large, bytes) == b'large'
    with pytest.raises(UserError, match='is not kept any more'):
        kept.get(third, bytes)


def test_names_cannot_be_guessed_and_lead_to_things_of_their_kind_only() -> None:
    kept = Kept(10)
    names = {kept.add(b'', 0) for _ in range(50)}
    assert len(names) == 50 and min(map(len, names)) >= 24
    with pytest.raises(UserError, match='is not kept any more'):
        kept.get(names.pop(), str)
