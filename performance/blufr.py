"""LFW-BLUFR's ten trials against their ten bare score products, and the memory they need on top of the features.

A bare product is `torch.matmul` of a trial's test features with themselves: what any evaluation must do that takes the
trials one by one, before it has looked at a single score. Features are random, of 13,233 faces in the sizes of LFW's
people; the trials are the official ones where their file is given, else made up in their sizes.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from performance.limits import Limit
from performance.measure import Finding, peak_memory, ratio
from performance.sides import Job, Side, against

LARGEST = 530  # photos of one person in LFW
TRIALS = 10

def run(*, config: Path | None = None, people: int = 5749, images: int = 13_233, length: int = 512,
        rounds: int = 3, threads: int = 1) -> list[Finding]:
    """Measure.

    Args:
        config: the official `blufr_lfw_config.mat`; None: trials are made up.
        people, images: of the made-up ones.
        length: D of the features.
        rounds: how often each side is measured.
        threads: of our side.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'faces.npz')
        write(path, config, people, images, length)
        race = against(*(Side(f'performance.blufr:{name}', {'path': str(path)}, threads)
                         for name in ('ours', 'products')), rounds)
        size = path.stat().st_size / 1e9
    images = race.ours.results[-1]['images']
    limit = Limit(images ** 2 * length, images * length * 4, threads)  # half of one product: scores are symmetric
    kind = 'official' if config else 'made-up'
    held = race.ours.results[-1]['before']
    return [Finding('blufr_ratio', f'BLUFR, ten {kind} trials, {images:,} x {length}', f'{race.ours.spread()} s',
                    f'ten bare products, {race.threads} thread(s): {race.rival.spread()} s',
                    ratio(race.ours.seconds, race.rival.seconds), 'x', 2.5, True, limit.words(),
                    race.ours.median / limit.seconds),
            Finding('blufr_memory', 'the same: peak memory on top of the features', f'{max(race.ours.peak):.2f} GB',
                    f'with the features loaded: {held:.2f} GB', max(race.ours.peak) - held, 'GB', 1.0, True,
                    f'the features: {size:.3g} GB', (max(race.ours.peak) - held) / size)]


def write(path: Path, config: Path | None, people: int, images: int, length: int) -> None:
    """One file with random features and the protocol's lists."""
    from cface_basicsr.evaluation.blufr import load_config
    if config:
        official = load_config(config)
        labels, trials = official.labels, [trial._asdict() for trial in official.trials]
    else:
        labels = made_up_labels(people, images)
        trials = [made_up_trial(labels, number) for number in range(TRIALS)]
    random = np.random.default_rng(0)
    features = random.standard_normal((labels.max() + 1, length), np.float32)[labels]
    features += 1.5 * random.standard_normal(features.shape, np.float32)  # people resemble themselves, not too much
    lists = {f'{part}_{number}': rows for number, trial in enumerate(trials) for part, rows in trial.items()}
    np.savez(path, features=features, labels=labels, **lists)


def load(path: str | Path) -> tuple[np.ndarray, Any]:
    """Features, and the lists as a `BlufrConfig`."""
    from cface_basicsr.evaluation.blufr import BlufrConfig, Trial
    with np.load(path) as content:
        names = tuple(f'{row:05d}.jpg' for row in range(len(content['labels'])))
        trials = tuple(Trial(*(content[f'{part}_{number}'] for part in Trial._fields)) for number in range(TRIALS))
        return content['features'], BlufrConfig(names, content['labels'], trials)


def made_up_labels(people: int, images: int) -> np.ndarray:
    """(images,) with sizes like LFW's: most people have one photo, one has 525, and there are 260,000 genuine pairs."""
    sizes = np.ones(people, np.int64)
    extra = (images - people) * (share := 1 / np.arange(1, people + 1) ** 0.9) / share.sum()
    sizes += np.minimum(extra.astype(np.int64), LARGEST - 1)
    sizes[:images - int(sizes.sum())] += 1  # what rounding left
    return np.repeat(np.arange(people), sizes)


def made_up_trial(labels: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """A trial in the official proportions: of 5,749 people 1,500 train, 1,000 others have an image in the gallery."""
    random = np.random.default_rng([number, 1])
    first, sizes = np.unique(labels, return_index=True, return_counts=True)[1:]
    people = random.permutation(len(sizes))
    train, test = np.split(people, [round(len(people) * 1500 / 5749)])
    known = test[sizes[test] > 1][:round(len(people) * 1000 / 5749)]
    tested = np.flatnonzero(np.isin(labels, test))
    gallery = np.sort(first[known])
    return {'train': np.flatnonzero(np.isin(labels, train)), 'test': tested, 'gallery': gallery,
            'probe': np.setdiff1d(tested, gallery)}


def ours(path: str) -> Job:
    """All ten trials; says how much memory was held before."""
    from cface_basicsr.evaluation.blufr import evaluate
    features, config = load(path)
    before = peak_memory()

    def job() -> dict[str, float]:
        evaluate(features, config)
        return {'before': before, 'images': len(features)}
    return job


def products(path: str) -> Job:
    """The ten bare products."""
    import torch
    features, config = load(path)
    units = torch.nn.functional.normalize(torch.from_numpy(features))
    tests = [units[torch.from_numpy(trial.test)] for trial in config.trials]

    def job() -> None:
        for test in tests:
            torch.matmul(test, test.T)
    return job
