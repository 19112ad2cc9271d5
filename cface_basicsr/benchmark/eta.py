"""When a whole benchmark's trainings will be done: by known rates, else by the images that are left."""

import time
from collections.abc import Mapping

from cface_basicsr.benchmark.plan import Plan
from cface_basicsr.benchmark.throughput import Rates, images_of, trainings
from cface_basicsr.runtime import Progress
from cface_basicsr.training.recipe import Recipe


class Eta:
    """Follows the trainings of a plan; each one that ends says how long the rest will take."""

    def __init__(self, plan: Plan, rates: Rates, show: Progress) -> None:
        """
        Args:
            rates: what is known of them; where one is missing, every image counts as much as another.
            show: what is told to it is told on, with the estimate behind the notes of trainings.
        """
        found = {(id(recipe), step): (key, images_of(recipe, step)) for key, recipe, step in trainings(plan)}
        known = all(key in rates for key, _ in found.values())
        self.left = {place: images * (rates[key] if known else 1.0) for place, (key, images) in found.items()}
        self.show, self.spent, self.done = show, 0.0, 0.0

    def of(self, recipe: Recipe) -> '_Followed':
        """A `Progress` for the steps of one recipe."""
        return _Followed(self, recipe)

    def ended(self, recipe: Recipe, step: str, seconds: float | None) -> str:
        """Note that a step has ended; what to say of the rest, '' where nothing can be said.

        Args:
            seconds: that it took; None where it was finished before.
        """
        cost = self.left.pop((id(recipe), step), None)
        if cost is None or seconds is None:
            return ''
        self.spent, self.done = self.spent + seconds, self.done + cost
        rest = sum(self.left.values())
        return f'; about {in_words(rest * self.spent / self.done)} of training left' if rest and self.done else ''


def in_words(seconds: float) -> str:
    """A duration for a person who waits.

    >>> in_words(50), in_words(600), in_words(7200)
    ('50 s', '10 min', '2.0 h')
    """
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


class _Followed:
    """Tells everything on, and the estimate with the end of each training."""

    def __init__(self, eta: Eta, recipe: Recipe) -> None:
        self.eta, self.recipe = eta, recipe
        self.began: Mapping[str, float] = {}

    def start(self, name: str, total: int) -> None:
        """A step begins."""
        self.began = {name: time.monotonic()}
        self.eta.show.start(name, total)

    def advance(self, done: int, text: str = '') -> None:
        """So much of it is done."""
        self.eta.show.advance(done, text)

    def end(self, name: str, note: str) -> None:
        """A step is done, or was already."""
        seconds = time.monotonic() - self.began[name] if name in self.began else None
        self.eta.show.end(name, note + self.eta.ended(self.recipe, name, seconds))
