"""The classes that a step of a large classifier looks at."""

import pytest
import torch

from cface_basicsr.ops.class_sample import sampled_classes


def split_mix(number: int) -> int:
    """SplitMix64's finish by Python's own numbers, which never overflow."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2 ** 64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2 ** 64
    return number ^ number >> 31


def literal(labels: list[int], classes: int, count: int, seed: int, step: int) -> list[int]:
    """One class after the other: the labels' own, then those whose numbers are the smallest."""
    golden = 0x9E3779B97F4A7C15
    start = split_mix((step + seed * golden) % 2 ** 64)
    drawn = {number: split_mix((number * golden + start) % 2 ** 64) % 2 ** 63 for number in range(classes)}
    others = sorted((number for number in range(classes) if number not in labels), key=drawn.__getitem__)
    return sorted({*labels, *others[:count - len(set(labels))]})


@pytest.mark.parametrize(('rate', 'count'), [(0.1, 20), (0.333, 67), (0.999, 200), (1.0, 200), (0.001, 5)])
@pytest.mark.parametrize(('seed', 'step'), [(0, 1), (2 ** 32 - 1025, 10 ** 7)])
def test_the_sample_is_that_of_a_literal_loop_with_every_label(rate: float, count: int, seed: int, step: int) -> None:
    labels = torch.tensor([7, 199, 7, 0, 31])
    found = sampled_classes(labels, 200, rate, seed=seed, step=step)
    assert found.tolist() == literal(labels.tolist(), 200, count, seed, step)
    assert len(found) == count and set(labels.tolist()) <= set(found.tolist())
    assert torch.equal(found, sampled_classes(labels, 200, rate, seed=seed, step=torch.tensor(step)))


def test_another_step_or_seed_draws_others_and_no_class_is_drawn_more_often() -> None:
    labels, counted = torch.tensor([0]), torch.zeros(50)
    for step in range(2000):
        counted[sampled_classes(labels, 50, 0.2, seed=3, step=step)] += 1
    assert counted[0] == 2000 and counted.sum() == 2000 * 10
    expected = 2000 * 9 / 49
    assert (counted[1:] - expected).abs().max() < 5 * (expected * (1 - 9 / 49)) ** 0.5  # five standard deviations
    draws = [sampled_classes(labels, 50, 0.2, seed=seed, step=step).tolist() for seed, step in ((0, 1), (0, 2), (1, 1))]
    assert draws[0] != draws[1] and draws[0] != draws[2]


def test_a_batch_with_more_people_than_the_rate_keeps_them_all_and_a_small_classifier_is_whole() -> None:
    assert sampled_classes(torch.arange(30), 200, 0.01, seed=0, step=1).tolist() == list(range(30))
    assert sampled_classes(torch.zeros(9, dtype=torch.long), 4, 0.5, seed=0, step=1).tolist() == [0, 1, 2, 3]
