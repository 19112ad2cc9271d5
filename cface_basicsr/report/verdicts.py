"""What the numbers say, in plain sentences with standard errors, also where they are unwelcome."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from cface_basicsr.measuring.judging import RULE, Difference, difference, gains, judges
from cface_basicsr.measuring.results import REFERENCES, DataSet, Results
from cface_basicsr.report.tables import over_seeds

PROPOSED = ('C-Face', 'L_CF')
"""Systems whose names begin with one of these are compared with every other one."""

_AGAINST_BICUBIC = {1: 'clearly better:', 0: 'not clearly different:', -1: 'clearly worse:'}
_AGAINST_OTHERS = {1: 'beats', 0: 'does not differ clearly from', -1: 'loses to'}


def verdicts(results: Results) -> dict[str, list[str]]:
    """Heading (test set and scale) -> sentences; the last section says how to read them.

    Differences are paired over the folds, whose pairs are the same for all systems.
    """
    sections = {}
    for test in results.tests():
        for scale in results.scales:
            lines = [line for recognizer in results.facts.recognizers
                     for line in _by_recognizer(results, test, scale, recognizer)]
            sections[f'x{scale} on {test.name}'] = (
                lines + gains(results, test, scale) + _restoration(results, test, scale))
    sections = {heading: lines for heading, lines in sections.items() if lines}
    return sections | {'How to read this': _caveats(results)} if sections else {}


def _by_recognizer(results: Results, test: DataSet, scale: int, recognizer: str) -> list[str]:
    trained = [system for system in results.systems if system not in REFERENCES]
    if not judges(results, test, scale, recognizer):
        return [f'{recognizer} judges nothing: {RULE}.']
    gain = partial(difference, results, test, scale, f'{recognizer}/accuracy')
    lines = []
    if known := [found._replace(other=system) for system in trained if (found := gain(system, 'Bicubic'))]:
        lines.append(f'By {recognizer}, against Bicubic: {_list_by_outcome(known, _AGAINST_BICUBIC)}.')
    lines += [f'By {recognizer}, against {base}: {_list_by_outcome(found, _AGAINST_BICUBIC)}.'
              for base in _bases(results, trained)
              if (found := [each._replace(other=system) for system in trained if system in _led(results)
                            and (each := gain(system, base))])]
    for system in (system for system in trained if system.startswith(PROPOSED)):
        if others := [found for other in trained if other != system and (found := gain(system, other))]:
            lines.append(f'By {recognizer}, {system} {_list_by_outcome(others, _AGAINST_OTHERS)}.')
    return lines


def _led(results: Results) -> set[str]:
    """The systems of whose losses a recognizer that measures led one."""
    return {system for rows in results.facts.led.values() for system in rows}


def _bases(results: Results, trained: Sequence[str]) -> list[str]:
    """In a table of identity terms, which has no C-Face as a whole: the rows that learnt by none of them."""
    whole = any(system.startswith(PROPOSED[0]) for system in trained)
    return [] if whole else [system for system in trained if system not in _led(results)]


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
