"""Identification in parts of the people, and what of BLUFR's lists goes into a result."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cface_basicsr.errors import UserError
from cface_basicsr.evaluation.blufr import BlufrConfig, Trial
from cface_basicsr.evaluation.identification import probe_ranks
from cface_basicsr.measuring.set_protocols import IdentificationProtocol, OpenSetProtocol, lists_sha256, overlap


def keys_of(labels: list[int]) -> list[str]:
    return [f'{label}/{number}' for number, label in enumerate(labels)]


@given(st.lists(st.integers(0, 14), min_size=6, max_size=60), st.integers(0, 99))
def test_rates_are_rank_rates_and_parts_are_people_whose_mean_weighed_by_probes_is_the_rate(labels: list[int],
                                                                                             seed: int) -> None:
    labels = [0, 0, 1, 1, *labels]  # two people can be found
    features = np.random.default_rng(seed).normal(size=(len(labels), 4)).astype(np.float32)
    protocol = IdentificationProtocol(keys_of(labels), np.array(labels))
    outcome = protocol.measure('R', features)
    several = sorted(label for label in set(labels) if labels.count(label) > 1)
    parts = [several[part::min(10, len(several))] for part in range(min(10, len(several)))]
    probes = [sum(labels.count(label) for label in people) for people in parts]
    everyone = np.arange(len(labels))
    ranks = probe_ranks(features, labels, everyone, everyone)
    for rank in (1, 5):
        assert outcome.numbers[f'R/rank{rank}'] == np.mean(ranks[ranks > 0] <= rank)
        assert np.average(outcome.per_fold[f'R/rank{rank}'], weights=probes) == pytest.approx(
            outcome.numbers[f'R/rank{rank}'])
    assert protocol.compared.settings['probes'] == sum(probes)
    assert protocol.compared.settings['people_with_one_image'] == len(set(labels)) - len(several)


def test_one_findable_person_gives_rates_but_no_parts_to_compare() -> None:
    outcome = IdentificationProtocol(keys_of([0, 0, 1]), np.array([0, 0, 1])).measure('R', np.eye(3, dtype=np.float32))
    assert set(outcome.numbers) == {'R/rank1', 'R/rank5'} and outcome.per_fold == {}


def test_people_with_one_image_each_cannot_be_found() -> None:
    with pytest.raises(UserError, match='none of the 3 images'):
        IdentificationProtocol(keys_of([0, 1, 2]), np.arange(3))


def test_another_set_of_images_has_another_hash() -> None:
    hashes = {IdentificationProtocol(keys_of(labels), np.array(labels)).compared.sha256
              for labels in ([0, 0, 1], [0, 0, 1, 1], [0, 1, 1])}
    assert len(hashes) == 3


def test_open_set_trials_share_those_that_are_enrolled_in_both() -> None:
    labels = np.repeat(np.arange(8), 3)
    protocol = OpenSetProtocol(keys_of(labels.tolist()), labels)
    enrolled = [set(labels[draw.gallery].tolist()) for draw in protocol.draws]
    shares = [len(a & b) / 4 for place, a in enumerate(enrolled) for b in enrolled[:place]]
    assert protocol.compared.shared == pytest.approx(np.mean(shares)) and 0.3 < protocol.compared.shared < 0.7
    assert protocol.compared.counts['genuine_probes'] == [8] * 10  # two more images of each of four people


def test_trials_share_the_people_that_are_in_both() -> None:
    assert overlap(np.array(labels) for labels in ([0, 0, 1, 1], [1, 1, 2, 2], [0, 0, 2, 2])) == 0.5


def test_lists_are_known_by_names_labels_and_trials() -> None:
    def config(names: str = 'abc', labels: tuple = (0, 0, 1), test: tuple = (0, 1, 2)) -> BlufrConfig:
        rows = np.array(test)
        return BlufrConfig(tuple(names), np.array(labels), (Trial(rows[:0], rows, rows[:1], rows[1:]),))
    assert lists_sha256(config()) == lists_sha256(config())
    others = [config(names='abd'), config(labels=(0, 1, 1)), config(test=(0, 2, 1)), config(test=(0, 1))]
    assert len({lists_sha256(each) for each in (config(), *others)}) == 5


def test_the_official_lists_share_74_per_cent_of_their_people() -> None:
    path = Path(__file__).parents[2] / '../shared/protocols/blufr_lfw_config.mat'
    if not path.is_file():
        pytest.skip('needs ../shared/protocols/blufr_lfw_config.mat')
    from cface_basicsr.evaluation.blufr import load_config
    config = load_config(path)
    assert overlap(config.labels[trial.test] for trial in config.trials) == pytest.approx(
        4249 / 5749, abs=0.01)  # random parts of one whole
