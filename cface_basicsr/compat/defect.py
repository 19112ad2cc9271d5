"""A defect of BasicSR, one row of the table, and the means to replace a name of BasicSR and put it back."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

_MISSING = object()

Wrapper = Callable[..., Any]
"""Takes the function that it is called instead of, and then that function's arguments."""


@dataclass
class Patches:
    """The names replaced so far, with what was there before."""

    replaced: list[tuple[Any, str, Any]] = field(default_factory=list)

    def replace(self, target: str, value: Any) -> None:
        """Put `value` wherever `target` is; `undo` puts the old one back."""
        for owner, name in places(target):
            self._set(owner, name, value)

    def wrap(self, target: str, wrapper: Wrapper) -> None:
        """Call `wrapper(original, *arguments)` wherever `target` is called."""
        for owner, name in places(target):
            self._set(owner, name, _around(getattr(owner, name), wrapper))

    def undo(self) -> None:
        """Put everything back, newest first."""
        while self.replaced:
            owner, name, value = self.replaced.pop()
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self.replaced.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, value)


@dataclass(frozen=True)
class Defect:
    """One defect of BasicSR.

    A target is `module:name` or `module:Class.name`. One in `basicsr.train` means every copy of that name in a module
    that may run a pipeline (see `pipelines`).

    Attributes:
        name: as CFACE_COMPAT_WITHOUT and `cface doctor` use it.
        target: where the defect is.
        symptom: what a user sees.
        upstream: where it was reported, or 'not reported'.
        wrap: what runs around the target; or other targets, each with what runs around it.
        replace: targets, each with what takes its place.
        has: text in the target's source by which the defect is known; empty: it is always there.
        unless: text in the target's source by which it is known that the defect is gone.
        condition: what else must hold for the defect to show.
        requires: names of rows without which this one cannot work.
    """

    name: str
    target: str
    symptom: str
    upstream: str = 'not reported'
    wrap: Wrapper | Mapping[str, Wrapper] = field(default_factory=dict)
    replace: Mapping[str, Any] = field(default_factory=dict)
    has: str = ''
    unless: str | None = None
    condition: Callable[[], bool] = lambda: True
    requires: tuple[str, ...] = ()

    def present(self) -> bool:
        """Whether the BasicSR that is installed has the defect."""
        text = ''.join(source(getattr(owner, name)) for owner, name in places(self.target))
        return self.has in text and (self.unless is None or self.unless not in text) and self.condition()

    def apply(self, patches: Patches) -> None:
        """Patch BasicSR in this process."""
        for target, value in self.replace.items():
            patches.replace(target, value)
        for target, wrapper in ({self.target: self.wrap} if callable(self.wrap) else self.wrap).items():
            patches.wrap(target, wrapper)


def row(name: str, target: str, *more_targets: str, **marks: Any) -> Callable[[Wrapper], Defect]:
    """Decorator: the row of a defect that a function patches by running around its targets.

    The first paragraph of the docstring is 'Without it: SYMPTOM.'

    Args:
        name, target: see `Defect`.
        more_targets: what the function runs around instead of the target.
        marks: other fields of the row.
    """
    def made(wrapper: Wrapper) -> Defect:
        first = ' '.join(inspect.getdoc(wrapper).split('\n\n')[0].split())
        symptom = first.removeprefix('Without it: ').removesuffix('.')
        return Defect(name, target, symptom, wrap=dict.fromkeys(more_targets or (target,), wrapper), **marks)
    return made


def places(target: str) -> list[tuple[Any, str]]:
    """Each module or class that holds the target, with the name that it has there."""
    module, _, path = target.partition(':')
    *classes, name = path.split('.')
    if module == 'basicsr.train':
        return [(each, name) for each in pipelines() if hasattr(each, name)]
    return [(functools.reduce(getattr, classes, importlib.import_module(module)), name)]


def pipelines() -> list[ModuleType]:
    """The modules that may hold the running `train_pipeline` or `test_pipeline`.

    `python basicsr/train.py` and `python -m basicsr.train` run a second copy of the module, called `__main__`: a name
    replaced only in `basicsr.train` would not reach it.
    """
    import basicsr.test
    import basicsr.train
    main = sys.modules.get('__main__')
    runs = main is not None and any(name in vars(main) for name in ('train_pipeline', 'test_pipeline'))
    return [basicsr.train, basicsr.test, *([main] if runs else [])]


def source(function: Callable) -> str:
    """The source text of BasicSR's own function under all our wrappers; empty where there is none."""
    try:
        return inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return ''


def _around(function: Callable, wrapper: Wrapper) -> Callable:
    @functools.wraps(function)
    def patched(*args: Any, **kwargs: Any) -> Any:
        return wrapper(function, *args, **kwargs)
    return patched


@contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is `value` inside the block: BasicSR's own function runs on, with one call of it answered by us."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
