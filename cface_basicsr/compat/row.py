"""A row of the table of defects, and the means to replace a name of BasicSR so that it can be put back."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

_MISSING = object()


@dataclass
class Mending:
    """The names replaced so far, with what stood there before."""

    replaced: list[tuple[Any, str, Any]] = field(default_factory=list)

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set `owner.name`; `undo` puts the old value back."""
        self.replaced.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, value)

    def wrap(self, owner: Any, name: str, wrapper: Callable[[Callable], Callable]) -> None:
        """Set `owner.name` to `wrapper(owner.name)`."""
        self.replace(owner, name, wrapper(getattr(owner, name)))

    def wrap_in_pipelines(self, name: str, wrapper: Callable[[Callable], Callable]) -> None:
        """Wrap a function in every module that runs a pipeline and knows this name."""
        for module in pipelines():
            if hasattr(module, name):
                self.wrap(module, name, wrapper)

    def undo(self) -> None:
        """Put everything back, newest first."""
        while self.replaced:
            owner, name, value = self.replaced.pop()
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


@dataclass(frozen=True)
class Row:
    """One defect of BasicSR.

    Attributes:
        name: how CFACE_COMPAT_WITHOUT and `cface doctor` call it.
        where: file and function in BasicSR.
        symptom: what a user sees.
        upstream: where it was reported, or 'not reported'.
        present: whether the BasicSR that is installed has the defect.
        apply: mends it.
        requires: rows without which this one cannot work.
    """

    name: str
    where: str
    symptom: str
    upstream: str
    present: Callable[[], bool]
    apply: Callable[[Mending], None]
    requires: tuple[str, ...] = ()


def pipelines() -> list[ModuleType]:
    """The modules that may hold the running `train_pipeline` or `test_pipeline`.

    `python basicsr/train.py` and `python -m basicsr.train` run a second copy of the module, called `__main__`: a name
    replaced in `basicsr.train` alone would not reach it.
    """
    import basicsr.test
    import basicsr.train
    main = sys.modules.get('__main__')
    runs = main is not None and any(name in vars(main) for name in ('train_pipeline', 'test_pipeline'))
    return [basicsr.train, basicsr.test, *([main] if runs else [])]


def original(function: Callable) -> Callable:
    """BasicSR's own function under all our wrappers (each uses functools.wraps)."""
    return inspect.unwrap(function)


def source(function: Callable) -> str:
    """The source text of BasicSR's own function; empty where there is none."""
    try:
        return inspect.getsource(original(function))
    except (OSError, TypeError):
        return ''


def in_pipelines(name: str, text: str) -> bool:
    """Whether a function of this name contains `text` in any module that runs a pipeline."""
    return any(text in source(getattr(module, name)) for module in pipelines() if hasattr(module, name))


@contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is `value` inside the block: BasicSR's own function runs on, with one call of it answered by us."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
