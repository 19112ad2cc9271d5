"""A network from a folder or from the web into the user's folder: checked by its hash, then published by a rename."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from cface_basicsr.errors import UserError, nearest
from cface_basicsr.files.atomic import replacing, write_text
from cface_basicsr.files.safetensors_file import SAFETENSORS
from cface_basicsr.zoo.card import CARD, Card, parse_card
from cface_basicsr.zoo.catalogue import SHIPPED_NETWORKS, ZooNetwork, find_network, user_networks

_SECONDS = 60
_LARGEST_CARD = 1_000_000
_HERE = ('localhost', '127.0.0.1', '::1')


def get_network(name: str, source: str | Path | None = None, *, sha256: str | None = None,
                overwrite: bool = False) -> tuple[ZooNetwork, bool]:
    """Copy a network into the user's folder.

    Args:
        source: a folder, or the https address of one, with NAME.yml and NAME.safetensors; None: the address in the card
            that came with the package.
        sha256: that the file must have, besides the one of its card.
        overwrite: replace another network of this name.

    Returns:
        the network, and whether it was copied (False: it was there already).

    Raises:
        UserError: the network is missing, its card is broken, its content is not that of the card or not `sha256`, or
            another network has its name. Nothing is changed then.
    """
    if (SHIPPED_NETWORKS / f'{name}{SAFETENSORS}').is_file():
        raise UserError(f"network '{name}' comes with the package; there is nothing to get.")
    source = _own_address(name) if source is None else source
    with _opened(source, f'{name}{CARD}') as file:
        text = file.read(_LARGEST_CARD).decode('utf-8', 'replace')
    card = parse_card(text, f'{source}/{name}{CARD}')
    if sha256 and sha256.lower() != card.sha256:
        raise UserError(f"network '{name}': --sha256 is {sha256[:12]}…, and its card says {card.sha256[:12]}…. It is "
                        'another network. Nothing was copied.')
    folder = user_networks()
    there = folder / f'{name}{CARD}'
    if there.is_file() and not overwrite:
        found = find_network(name)
        if found.card.sha256 != card.sha256:
            raise UserError(f"another network '{name}' is in '{folder}' already; --overwrite replaces it.")
        found.verified_path()
        return found, False
    target = ZooNetwork(card, folder)
    _copy(source, card, target.path)
    write_text(there, text)  # last: without its card nobody sees a network
    return target, True


def _own_address(name: str) -> str:
    url = find_network(name).card.url
    if not url:
        raise UserError(f"the card of '{name}' has no address. Say where it is: cface models get {name} --from DIR, or "
                        '--url URL')
    return url


def _copy(source: str | Path, card: Card, target: Path) -> None:
    """Copy at most the bytes that the card announces, and check them before the rename."""
    digest, left = hashlib.sha256(), card.bytes + 1
    with replacing(target, shared=True) as aside:
        with _opened(source, target.name) as file, open(aside, 'wb') as copied:
            while left and (part := file.read(min(left, 1 << 20))):
                left -= len(part)
                digest.update(part)
                copied.write(part)
        if digest.hexdigest() != card.sha256:
            came = f'{card.bytes + 1 - left:,} of {card.bytes:,} bytes' if left > 1 else \
                f'SHA-256 {digest.hexdigest()[:12]}…, expected {card.sha256[:12]}…' if left else \
                f'more than the {card.bytes:,} bytes that its card says'
            raise UserError(f"'{source}/{target.name}' is not the file of its card: {came}. Nothing was copied.")


@contextmanager
def _opened(source: str | Path, name: str) -> Iterator[IO[bytes]]:
    """A file of a folder, or of one on the web."""
    if '://' in str(source):
        with _of_address(f'{str(source).rstrip("/")}/{name}') as file:
            yield file
        return
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"the folder '{folder}' is missing. Expected one with {name}.")
    if not (folder / name).is_file():
        others = {path.stem for path in folder.glob(f'*{CARD}')} - {Path(name).stem}
        raise UserError(f"'{folder / name}' is missing; "
                        + (nearest(Path(name).stem, others) if others else 'no other network is in that folder.'))
    with open(folder / name, 'rb') as file:
        yield file


@contextmanager
def _of_address(url: str) -> Iterator[IO[bytes]]:
    parts = urlsplit(url)
    if parts.scheme != 'https' and not (parts.scheme == 'http' and parts.hostname in _HERE):
        raise UserError(f"'{url}': expected an https address, so that nobody changes the file on its way.")
    try:
        with urlopen(url, timeout=_SECONDS) as answer:
            yield answer
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise UserError(f"'{url}' cannot be read ({getattr(error, 'reason', error)}). Without a connection, "
                        'copy the two files by hand and use --from DIR.') from error
