"""What a page has sent and was sent, in memory only, under names that nobody can guess."""

import secrets
import threading
from collections import OrderedDict
from typing import Any, TypeVar

from cface_basicsr.errors import UserError

Kind = TypeVar('Kind')


class NotKept(UserError):
    """A thing is not kept any more; `name` is the one by which it was asked for."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class Kept:
    """Things by name, in memory; the ones that were used longest ago go first.

    Attributes:
        most: bytes that are kept; the newest thing is kept whatever its size.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._things: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, thing: object, size: int) -> str:
        """Keep a thing of this number of bytes; returns its name."""
        name = secrets.token_urlsafe(18)
        with self._lock:
            self._things[name] = thing, size
            while len(self._things) > 1 and sum(size for _, size in self._things.values()) > self.most:
                self._things.popitem(last=False)
        return name

    def get(self, name: str, kind: type[Kind], what: str = 'photo') -> Kind:
        """The thing of a name.

        Args:
            what: the message calls it.

        Raises:
            NotKept: it is of another kind, or not kept any more.
        """
        with self._lock:
            thing, _ = self._things.get(name, (None, 0))
            if not isinstance(thing, kind):
                raise NotKept(f'this {what} is not kept any more. Add it once more.', name)
            self._things.move_to_end(name)
            return thing
