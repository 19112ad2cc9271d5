"""What the numbers say, in plain sentences with standard errors, also where they are unwelcome."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cface_basicsr.evaluation.significance import clear_sign, paired_test, t_test_p
from cface_basicsr.measuring.results import REFERENCES, DataSet, Results
from cface_basicsr.report.paper_tables import over_seeds

PROPOSED = 'C-Face'
"""Systems whose names begin with this are compared with every other one."""

_AGAINST_BICUBIC = {1: 'clearly better:', 0: 'not clearly different:', -1: 'clearly worse:'}
_AGAINST_OTHERS = {1: 'beats', 0: 'does not differ clearly from', -1: 'loses to'}


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


def verdicts(results: Results) -> dict[str, list[str]]:
    """Heading (test set and scale) -> sentences; the last section says how to read them.

    Differences are paired over the folds, whose pairs are the same for all systems.
    """
    sections = {}
    for test in results.tests():
        for scale in results.scales:
            lines = [line for recognizer in results.facts.recognizers
                     for line in _by_recognizer(results, test, scale, recognizer)]
            sections[f'x{scale} on {test.name}'] = lines + _restoration(results, test, scale)
    sections = {heading: lines for heading, lines in sections.items() if lines}
    return sections | {'How to read this': _caveats(results)} if sections else {}


def accuracy_difference(results: Results, test: DataSet, scale: int, recognizer: str, first: str,
                        second: str) -> Difference | None:
    """Accuracy of the first system minus that of the second; None where one of them has no folds.

    Each fold's accuracy is averaged over the seeds, then the folds are paired. With two seeds or more of a system, the
    error over the seeds is known as well (unpaired, Welch's), and the larger one counts.
    """
    key = f'{recognizer}/accuracy'
    a, b = ([measured.per_fold[key] for run in results.measured_on(test, system, scale)
             if key in (measured := run.measured[test.name]).per_fold] for system in (first, second))
    if not a or not b:
        return None
    folds = paired_test(*(np.mean(each, axis=0) for each in (a, b)))
    error, p = _over_seeds(folds.mean, [np.mean(each, axis=1) for each in (a, b) if len(each) > 1])
    return Difference(second, folds.mean, max(folds.error, error), max(folds.p, p))


def _over_seeds(mean: float, systems: Sequence[NDArray]) -> tuple[float, float]:
    """Standard error of a difference over the seeds, and its p by Welch's t-test; zeros where there is one seed."""
    parts = [float(np.var(seeds, ddof=1)) / len(seeds) for seeds in systems]
    if not any(parts):
        return 0.0, 0.0
    freedom = sum(parts) ** 2 / sum(part ** 2 / (len(seeds) - 1)  # Welch and Satterthwaite
                                    for part, seeds in zip(parts, systems, strict=True))
    error = float(np.sqrt(sum(parts)))
    return error, t_test_p(mean, error, freedom)


def _by_recognizer(results: Results, test: DataSet, scale: int, recognizer: str) -> list[str]:
    trained = [system for system in results.systems if system not in REFERENCES]
    difference = partial(accuracy_difference, results, test, scale, recognizer)
    lines = []
    if known := [found._replace(other=system) for system in trained if (found := difference(system, 'Bicubic'))]:
        lines.append(f'By {recognizer}, against Bicubic: {_list_by_outcome(known, _AGAINST_BICUBIC)}.')
    for system in (system for system in trained if system.startswith(PROPOSED)):
        if others := [found for other in trained if other != system and (found := difference(system, other))]:
            lines.append(f'By {recognizer}, {system} {_list_by_outcome(others, _AGAINST_OTHERS)}.')
    return lines


def _list_by_outcome(differences: Sequence[Difference], words: dict[int, str]) -> str:
    """The systems that are better, not clearly different, worse, each with its difference."""
    parts = []
    for clear, word in words.items():
        names = [str(each) for each in sorted(differences, key=lambda each: -each.mean) if each.clear == clear]
        if names:
            parts.append(f"{word} {', '.join(names)}")
    return '; '.join(parts)


def _restoration(results: Results, test: DataSet, scale: int) -> list[str]:
    psnr = {system: over_seeds(run.measured[test.name].numbers.get('psnr')
                               for run in results.measured_on(test, system, scale))
            for system in results.systems if system != 'HR'}
    known = {system: spread.mean for system, spread in psnr.items() if spread}
    if len(known) < 2:
        return []
    best = max(known, key=known.get)
    parts = [f'PSNR: the best is {best} with {known[best]:.2f} dB']
    ours = [f'{system} {known[system] - known[best]:+.2f} dB' for system in known if system.startswith(PROPOSED)
            and system != best]
    below = [system for system in known if known[system] < known.get('Bicubic', -np.inf)]
    parts += [', '.join(ours)] if ours else []
    parts += [f"below Bicubic: {', '.join(below)}"] if below else []
    return [f"{'; '.join(parts)}."]


def _caveats(results: Results) -> list[str]:
    lines = ['Differences are in percentage points of accuracy, with their standard errors. Clear means p < 5 % in a '
             'paired t-test over the folds (with ten folds: more than 2.26 standard errors) and, with several seeds, '
             'in one over the seeds. Among many comparisons about one in twenty is clear by chance.']
    if len(results.facts.seeds) == 1:
        lines.append('One seed: the errors reflect which pairs were drawn, not what another training would have given.')
    return lines
