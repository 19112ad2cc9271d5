"""`cface models`: the networks that are known by name, with their cards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.cli.arguments import Json, Overwrite
from cface_basicsr.cli.show import say, say_json
from cface_basicsr.errors import UserError

if TYPE_CHECKING:
    from cface_basicsr.zoo.catalogue import ZooNetwork

command = typer.Typer(no_args_is_help=True, help='List, describe and get the networks that are known by name.')


@command.command('list')
def list_networks(as_json: Json = False) -> None:
    """List the networks that are known by name: scale, type, size, licence, and whether they are installed.

    Every command that takes a network file takes these names, and so does `cface_basicsr.load` in Python.

    \b
    Example:
      cface models list
    """

    from cface_basicsr.zoo.catalogue import user_networks, zoo
    networks = zoo().values()
    if as_json:
        return say_json([_as_plain(each) for each in networks])
    rows = [(each.card.name, f'x{each.card.scale}', each.card.network['type'], f'{each.card.bytes / 1e6:.1f} MB',
             'installed' if each.here else 'to get', each.card.licence) for each in networks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say('  '.join(f'{cell:{width}}' for cell, width in zip(row, widths, strict=True)).rstrip())
    if not rows:
        say(f"no network comes with this installation, and there is none in '{user_networks()}'.\n"
                   'Get one: cface models get NAME --from DIR')


def _as_plain(network: 'ZooNetwork') -> dict[str, Any]:
    return network.card.model_dump(exclude_none=True) | {'path': str(network.path), 'here': network.here}


@command.command()
def info(
    name: str, as_json: Json = False,
) -> None:
    """Print the card of a network: what it was trained on, its licence, its numbers with their commands, its hash.

    Args:
        name: As `cface models list` prints it.

    \b
    Example:
      cface models info cface-x8
    """

    from cface_basicsr.files.yaml_file import to_yaml
    from cface_basicsr.zoo.catalogue import find_network
    known = _as_plain(find_network(name))
    say_json(known) if as_json else say(to_yaml(known), end='')


@command.command()
def get(
    name: str, folder: Annotated[Path | None, typer.Option('--from', metavar='DIR')] = None,
    url: str | None = None, sha256: str | None = None, overwrite: Overwrite = False,
) -> None:
    """Copy a network into the user's own folder, where every command finds it by its name.

    Its SHA-256 is compared with that of its card before it appears there. The folder is `networks` in `CFACE_HOME`, or
    else in the folder `cface` of the user's cache.

    Args:
        name: Of the network: NAME.yml and NAME.safetensors are copied.
        folder: Where they are.
        url: The https address of the folder where they are; default: the one in the card that came with the package.
        sha256: What its hash must be, where the address is not to be trusted.

    \b
    Example:
      cface models get cface-x8-photos --from models/photos
    """
    from cface_basicsr.zoo.get import get_network
    if folder and url:
        raise UserError('--from and --url: expected one of them, got both.')
    network, copied = get_network(name, folder or url, sha256=sha256, overwrite=overwrite)
    say(f'{network.path}{"" if copied else ": it is there already"}\nlicence: {network.card.licence}')


@command.command()
def add(
    source: Path, name: Annotated[str, typer.Option()], card: Annotated[Path, typer.Option()],
    to: Path | None = None,
) -> None:
    """Give a trained network a name: write it as NAME.safetensors with its card.

    Weights are stored in half precision where no pixel of a synthetic face changes by 0.01 of its range or more. Scale,
    size, hash and that difference are added to the card.

    Args:
        source: Network file of a training (.pth, .safetensors).
        name: Its name: lower-case letters, digits, - and _.
        card: YAML file with what only a person knows: about, licence, data, recognizer, identity, pixels.
        to: Folder; default: the user's own.

    \b
    Example:
      cface models add net_g_latest.pth --name holiday-x8 --card holiday.yml
    """
    from cface_basicsr.exporting.publish import publish_network
    from cface_basicsr.zoo.card import read_draft
    from cface_basicsr.zoo.catalogue import user_networks
    draft = read_draft(card)
    if to is None:
        to = user_networks()
        to.mkdir(parents=True, exist_ok=True)
    elif not to.is_dir():
        raise UserError(f"the folder '{to}' is missing. Make it first.")
    added = publish_network(source, name, draft, to)
    known = added.card
    say(f'{added.path}: {known.bytes:,} bytes, {known.weights} (largest difference {known.difference:.1g})')
