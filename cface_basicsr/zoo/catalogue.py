"""Which networks there are by name: those that come with the package, and those that a user has added."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cface_basicsr.errors import UserError, check_file, nearest
from cface_basicsr.files.manifest import file_hash
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.zoo.card import CARD, Card, read_card

SHIPPED_NETWORKS = Path(__file__).with_name('networks')
NETWORK_FILES = ('.pth', SAFETENSORS, '.onnx')
"""Endings of files that hold a network."""


def user_networks() -> Path:
    """The folder of the networks that a user has added: in CFACE_HOME, or else in the user's cache."""
    cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(os.environ.get('CFACE_HOME') or Path(cache, 'cface'), 'networks')


@dataclass(frozen=True)
class ZooNetwork:
    """A network of the zoo.

    Attributes:
        card: what is known of it.
        folder: where its card is.
    """

    card: Card
    folder: Path

    @property
    def path(self) -> Path:
        """Its file, which may be missing."""
        return self.folder / f'{self.card.name}{SAFETENSORS}'

    @property
    def here(self) -> bool:
        """Whether its file is there."""
        return self.path.is_file()

    def verified_path(self) -> Path:
        """Its file, whose content is the one that the card knows.

        Raises:
            UserError: it is missing, or another one.
        """
        name = self.card.name
        if not self.here and self.card.url:
            raise UserError(f"network '{name}' does not come with the package. Get it: cface models get {name}")
        check_file(self.path, f"The card '{name}{CARD}' in the same folder knows it. Get it again: cface models get "
                   f'{name} --from DIR', 'weights file')
        check_hash(self.path, self.card, f'Get it again: cface models get {name} --from DIR --overwrite')
        return self.path


def check_hash(path: Path, card: Card, advice: str) -> None:
    """Check that a file is the one of a card.

    Args:
        advice: the end of the message.

    Raises:
        UserError: its SHA-256 is another one.
    """
    if (found := file_hash(path, 64)) != card.sha256:
        raise UserError(f"'{path}' is damaged or another file: its SHA-256 is {found[:12]}…, and the card of "
                        f"'{card.name}' says {card.sha256[:12]}…. {advice}")


def card_next_to(path: Path) -> Card | None:
    """The card of a .safetensors file, in the same folder; None without one.

    Raises:
        UserError: it is damaged, or another network's.
    """
    card_file = path.with_suffix(CARD)
    if path.suffix != SAFETENSORS or not card_file.is_file():
        return None
    card = read_card(card_file)
    check_hash(path, card, 'Its card would tell of another network.')
    return card


def zoo() -> dict[str, ZooNetwork]:
    """Name -> network, sorted by name; one that a user has added replaces one of the package whose file is missing.

    Raises:
        UserError: a card is broken.
    """
    return {name: find_network(name) for name in sorted(set(_names()))}


def _names() -> Iterator[str]:
    for folder in (SHIPPED_NETWORKS, user_networks()):
        yield from (path.stem for path in folder.glob(f'*{CARD}') if not path.name.startswith('.'))


def find_network(name: str) -> ZooNetwork:
    """The network of a name; the package's comes before a user's if its file is there.

    Raises:
        UserError: there is none, with the nearest name; or its card is broken.
    """
    found = [ZooNetwork(read_card(folder / f'{name}{CARD}'), folder) for folder in (SHIPPED_NETWORKS, user_networks())
             if (folder / f'{name}{CARD}').is_file()]
    if not found:
        raise UserError(f"network '{name}' is missing: neither a file nor a name that `cface models list` prints; "
                        + (nearest(name, _names()) if any(_names()) else
                           'there is none yet. Get one: cface models get NAME --from DIR'))
    return next((each for each in found if each.here), found[0])


def network_path(text: str | Path) -> Path:
    """The file that a text names: a file of its own, or a network of the zoo, which is checked.

    >>> network_path('net_g_latest.pth').name
    'net_g_latest.pth'

    Raises:
        UserError: it is neither; or the file of the zoo is missing or damaged.
    """
    path = Path(text)
    if path.suffix in NETWORK_FILES or path.is_file() or len(path.parts) != 1:
        return path
    return find_network(str(text)).verified_path()


def present_network(text: str | Path) -> Path:
    """The same, of a file that is there.

    Raises:
        UserError: it is missing; or see `network_path`.
    """
    return check_file(network_path(text), 'Expected a network file, or a name that `cface models list` prints.',
                      'weights file')
