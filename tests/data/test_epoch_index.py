"""Indices that carry an epoch, and the random choices that belong to them."""

import pickle
from collections import Counter

from cface_basicsr.data.epoch_index import EpochIndex, draw


def test_to_other_code_it_is_an_int() -> None:
    index = EpochIndex(2, epoch=5, repeat=1)
    assert ['a', 'b', 'c'][index] == 'c' and index == 2 and isinstance(index, int) and index + 1 == 3


def test_epoch_and_repeat_survive_pickling() -> None:
    index = pickle.loads(pickle.dumps(EpochIndex(7, epoch=3, repeat=2)))
    assert (index, index.epoch, index.repeat) == (7, 3, 2)


def test_a_plain_int_is_epoch_zero() -> None:
    assert draw(4, 9) == draw(4, EpochIndex(9)) == draw(4, EpochIndex(9, epoch=0, repeat=0))


def test_every_part_changes_the_draw() -> None:
    places = [(seed, EpochIndex(row, epoch, repeat)) for seed in range(3) for row in range(3) for epoch in range(3)
              for repeat in range(3)]
    assert len({draw(*place) for place in places}) == len(places)


def test_coins_are_fair_and_choices_even() -> None:
    draws = [draw(1, EpochIndex(row, epoch)) for row in range(200) for epoch in range(30)]
    heads = sum(coin for coin, _ in draws)
    thirds = Counter((coin, number % 3) for coin, number in draws)
    assert abs(heads - 3000) < 150  # four standard deviations of a fair coin
    assert len(thirds) == 6 and all(abs(count - 1000) < 120 for count in thirds.values())


def test_draws_are_the_same_in_every_version() -> None:
    """Recorded values: a changed draw would silently change what a resumed training sees."""
    assert draw(0, 0) == (True, 45389693445607949)
    assert draw(7, EpochIndex(3, epoch=2, repeat=1)) == (False, 9463903468486540)
