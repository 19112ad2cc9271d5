"""A few of the kills of `make soak`: each command ends as if nobody had killed it."""

from pathlib import Path

import pytest

from cface_basicsr.evaluation.verification import largest_pairs_per_fold
from tests.soak import Job, Soak, chain, jobs, products


@pytest.fixture(scope='module')
def soak(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    short = Job(['train', 'r.yml'], ('prepare',), chain(12, 'stage2', 'stage3', 'stage4'))
    return Soak(tmp_path_factory.mktemp('soak'), seed=1, chosen={**jobs(), 'train': short})


MOMENTS = {'synth': [(0.1,), (0.2,), (0.3,), (0.45,)], 'prepare': [(0.2, 0.3, 0.3), (0.95,)],
           'index': [(0.3, 0.4), (0.9,)], 'generate': [(0.9, 0.5), (0.7,)],
           'train': [(0.2, 0.4, 0.5, 0.3), (0.9, 0.05)]}
"""Command -> the moments of its kills, as shares of all moments of its busiest process; a new run for each chain. A run
that continues has fewer left. Two workers share the photos of `synth` as it comes: one does half of them at least."""


@pytest.mark.parametrize('name', ['train', 'benchmark'])
def test_the_people_held_out_are_enough_for_the_report(name: str) -> None:
    recipe = jobs()[name].recipe
    (test,) = recipe.get('report', recipe)['tests'].values()
    labels = [person for person in range(8) for _ in range(4)]  # --holdout 8, -m 4
    assert test['pairs_per_fold'] <= largest_pairs_per_fold(labels, folds=test['folds'])


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'chains'), MOMENTS.items(), ids=MOMENTS)
def test_a_command_that_is_killed_makes_what_the_unbroken_one_makes(
        soak: Soak, name: str, chains: list[tuple[float, ...]]) -> None:
    tally = soak.kill_at(name, *chains)
    assert tally.wrong == []
    assert tally.kills == sum(map(len, chains)) == tally.hit.total() and tally.compared == len(chains)


def test_a_changed_weight_or_a_lost_line_of_a_log_is_a_difference(tmp_path: Path) -> None:
    line = '2026-11-24 00:04:54,491 INFO: [a][epoch: 0, iter: {}, lr:(1.0e-04,)] l_g_pix: 1.2e-01 '
    (tmp_path / 'train_a.log').write_text('\n'.join(line.format(number) for number in (1, 2)))
    run = tmp_path / 'run'
    run.mkdir()
    (tmp_path / 'train_a.log').rename(run / 'train_a.log')
    (run / 'net_g_latest.pth').write_bytes(b'weights')
    before = products(tmp_path)
    assert set(before) == {'run/log', 'run/net_g_latest.pth'}
    (run / 'train_a.log').write_text(line.format(1))
    (run / 'net_g_latest.pth').write_bytes(b'weightz')
    assert all(products(tmp_path)[name] != value for name, value in before.items())
