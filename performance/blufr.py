"""LFW-BLUFR's ten trials against their ten bare score products, and the memory they need on top of the features.

A bare product is `torch.matmul` of a trial's test features with themselves: what any evaluation must do that takes the
trials one by one, before it has looked at a single score. Features are random, of 13,233 faces in the sizes of LFW's
people; the trials are the official ones where their file is given, else made up in their sizes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from performance.measure import Finding, ratio, take_turns

LARGEST = 530  # photos of one person in LFW
TRIALS = 10

_CHILD = """
import json, sys
import numpy as np
from performance.blufr import load
from performance.measure import peak_memory
from cface_basicsr.evaluation.blufr import evaluate
features, config = load(sys.argv[1])
before = peak_memory()
evaluate(features, config)
print(json.dumps({'peak': peak_memory(), 'before': before}))
"""


def run(*, config: Path | None = None, people: int = 5749, images: int = 13_233, length: int = 512,
        rounds: int = 3) -> list[Finding]:
    """Measure.

    Args:
        config: the official `blufr_lfw_config.mat`; None: trials are made up.
        people, images: of the made-up ones.
        length: D of the features.
        rounds: how often each side is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, 'faces.npz'), config, people, images, length)
        return [*_times(Path(folder, 'faces.npz'), 'official' if config else 'made-up', rounds),
                _memory(Path(folder, 'faces.npz'))]


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


def _times(path: Path, kind: str, rounds: int) -> list[Finding]:
    """All ten trials against their ten products, by the clock and by CPU time."""
    import torch

    from cface_basicsr.evaluation.blufr import evaluate
    features, config = load(path)
    units = torch.nn.functional.normalize(torch.from_numpy(features))
    tests = [units[torch.from_numpy(trial.test)] for trial in config.trials]

    def products() -> None:
        for test in tests:
            torch.matmul(test, test.T)

    times = take_turns({'ours': lambda: evaluate(features, config), 'bare': products}, rounds)
    ours, bare = times['ours'], times['bare']
    what = f'BLUFR, ten {kind} trials, {len(features):,} x {features.shape[1]}'
    return [Finding('blufr_ratio', what, f'{ours.spread()} s', f'ten bare products: {bare.spread()} s',
                    ratio(ours.seconds, bare.seconds), target=2.5),
            Finding('blufr_cpu_ratio', 'the same, by CPU time', f'{ours.median_cpu:.3g} s', f'{bare.median_cpu:.3g} s',
                    ratio(ours.cpu, bare.cpu), target=2.5)]


def _memory(path: Path) -> Finding:
    """The most memory of a process that only evaluates, beyond what it held with the features loaded."""
    done = subprocess.run([sys.executable, '-c', _CHILD, str(path)], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[1])
    peak, before = (json.loads(done.stdout)[name] for name in ('peak', 'before'))
    return Finding('blufr_memory', 'the same: peak memory on top of the features', f'{peak:.2f} GB',
                   f'with the features loaded: {before:.2f} GB', peak - before, 'GB', 1.0)
