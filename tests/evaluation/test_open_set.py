"""Drawn galleries: half of those who can be enrolled are, with one image each, and all other images are probes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.identification import draw_galleries


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 5))
def test_a_draw_enrols_half_of_those_with_several_images_and_uses_every_image(labels: list[int], seed: int) -> None:
    people, count = np.unique(labels, return_counts=True)
    several = set(people[count > 1].tolist())
    if not several or len(people) == 1:
        with pytest.raises(UserError, match=f'got {len(several)} with several among {len(people)}'):
            draw_galleries(labels, seed=seed)
        return
    for gallery, probe in draw_galleries(labels, trials=3, seed=seed):
        enrolled = [labels[row] for row in gallery]
        assert len(set(enrolled)) == len(enrolled) == (len(several) + 1) // 2 and set(enrolled) <= several
        assert sorted([*gallery, *probe]) == list(range(len(labels)))


def test_draws_follow_the_seed_and_differ_from_one_another() -> None:
    labels = np.repeat(np.arange(20), 3)
    first, again, other = (draw_galleries(labels, seed=seed) for seed in (0, 0, 1))
    assert all((a.gallery == b.gallery).all() for a, b in zip(first, again, strict=True))
    assert len({tuple(draw.gallery) for draw in (*first, *other)}) == 20
