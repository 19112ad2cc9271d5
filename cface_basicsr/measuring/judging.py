"""What a recognizer's numbers are good for: whether it judges at all, which losses it led, and what each row gained."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cface_basicsr.evaluation.significance import clear_sign, paired_test, t_test_p
from cface_basicsr.measuring.results import REFERENCES, DataSet, Results

RULE = 'HR is not clearly above Bicubic by it (p < 5 % in a paired t-test over the folds)'
"""Why a recognizer judges nothing."""


class Difference(NamedTuple):
    """Accuracy of one system minus that of another, as shares.

    Attributes:
        error: standard error, the larger of the one over the folds and the one over the seeds.
        p: how often chance by itself gives a difference this large; the larger of the two.
        clear: 1 or -1 where p is below 5 %, else 0.
    """

    other: str
    mean: float
    error: float
    p: float

    @property
    def clear(self) -> int:
        return clear_sign(self.mean, self.p)

    def __str__(self) -> str:
        return f'{self.other} ({100 * self.mean:+.1f} ± {100 * self.error:.1f})'


def difference(results: Results, test: DataSet, scale: int | None, key: str, first: str,
               second: str) -> Difference | None:
    """A share of the first system, '<recognizer>/accuracy', minus that of the second; None where one has no folds.

    Each fold's share is averaged over the seeds, then the folds are paired. With two seeds or more of a system, the
    error over the seeds is known as well (unpaired, Welch's), and the larger one counts.
    """
    a, b = ([measured.per_fold[key] for run in results.measured_on(test, system, scale)
             if key in (measured := run.measured[test.name]).per_fold] for system in (first, second))
    if not a or not b:
        return None
    folds = paired_test(*(np.mean(each, axis=0) for each in (a, b)))
    error, p = error_over_seeds(folds.mean, a, b)
    return Difference(second, folds.mean, max(folds.error, error), max(folds.p, p))


def error_over_seeds(mean: float, *systems: ArrayLike) -> tuple[float, float]:
    """Standard error of a difference over the seeds, and its p in [0, 1] by Welch's t-test; zeros for one seed of each.

    Args:
        systems: of each of the two, its shares (seeds, folds).
    """
    seeds_of = [np.mean(each, axis=1) for each in systems if len(each) > 1]
    parts = [float(np.var(seeds, ddof=1)) / len(seeds) for seeds in seeds_of]
    if not any(parts):
        return 0.0, 0.0
    freedom = sum(parts) ** 2 / sum(part ** 2 / (len(seeds) - 1)  # Welch and Satterthwaite
                                    for part, seeds in zip(parts, seeds_of, strict=True))
    error = float(np.sqrt(sum(parts)))
    return error, t_test_p(mean, error, freedom)


def judges(results: Results, test: DataSet, scale: int | None, recognizer: str) -> bool:
    """Whether a recognizer tells HR from Bicubic, by accuracy or by the first rate that its protocol knows in parts.

    One that does not cannot tell anything between the two. Where it cannot be tested, it counts as one that does.
    """
    known = [key for run in results.measured_on(test, 'HR', scale) for key in run.measured[test.name].per_fold
             if key.startswith(f'{recognizer}/')]
    key = f'{recognizer}/accuracy' if f'{recognizer}/accuracy' in known else next(iter(known), '')
    found = difference(results, test, scale, key, *REFERENCES) if key else None
    return found is None or found.clear > 0


def judging_notes(results: Results, test: DataSet, scales: Sequence[int | None]) -> list[str]:
    """Lines below a table: the recognizers that led a loss, those that judge nothing, and whether a judge is left."""
    led, names, notes = results.facts.led, list(results.facts.recognizers), led_notes(results)
    if led and not set(names) - set(led):
        notes.append('No judge: every recognizer here led a loss.')
    for name in names:
        silent = [scale for scale in scales if not judges(results, test, scale, name)]
        if silent:
            where = f" at {', '.join(f'x{scale}' for scale in silent)}" if len(scales) > 1 else ''
            notes.append(f'In brackets: {name} judges nothing{where}, since {RULE}.')
    return notes


def judge_of(results: Results) -> str:
    """The recognizer that pictures are drawn by: the last one that led no loss; where all did, the last one."""
    names = list(results.facts.recognizers)
    return next((name for name in reversed(names) if name not in results.facts.led), names[-1])


def led_notes(results: Results) -> list[str]:
    """A line for each recognizer that led a loss."""
    return [f'{name} led a loss of {", ".join(rows)}; it is not a judge of {"it" if len(rows) == 1 else "them"}.'
            for name, rows in results.facts.led.items() if name in results.facts.recognizers]


def gains(results: Results, test: DataSet, scale: int) -> list[str]:
    """For each recognizer that led a loss and each judge: what every row gained over Bicubic by the one and the other.

    A gain that only the first sees is a pattern made for it, not an identity.
    """
    led = [name for name in results.facts.recognizers if name in results.facts.led]
    fair = [name for name in results.facts.recognizers if name not in led]
    return [f'Gain by {ours} / gain by {judge}, in points of accuracy over Bicubic (in per cent of what HR gains): '
            f'{rows}.' for ours in led for judge in fair
            if judges(results, test, scale, ours) and judges(results, test, scale, judge)
            and (rows := _gains_of_rows(results, test, scale, (ours, judge)))]


def _gains_of_rows(results: Results, test: DataSet, scale: int, pair: tuple[str, str]) -> str:
    keys = [f'{name}/accuracy' for name in pair]
    whole = [difference(results, test, scale, key, *REFERENCES) for key in keys]
    rows = {system: [difference(results, test, scale, key, system, 'Bicubic') for key in keys]
            for system in results.systems if system not in REFERENCES}
    if None in whole:
        return ''
    return '; '.join(
        f"{system} {' / '.join(f'{100 * each.mean:+.1f}' for each in found)} "
        f"({' / '.join(f'{100 * each.mean / of.mean:.0f}' for each, of in zip(found, whole, strict=True))} %)"
        for system, found in rows.items() if None not in found)
