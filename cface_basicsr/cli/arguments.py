"""Options that several commands share, each with one name and one sentence."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.errors import UserError


def _found(path: Path | None) -> Path | None:
    from cface_basicsr.options.shipped import find_option_file
    return path and find_option_file(path)


def _imported(modules: list[str] | None) -> list[str] | None:
    if modules:
        from cface_basicsr.register import use_plugins
        use_plugins(modules)
    return modules


def of_zoo(path: Path) -> Path:
    """The file of a network that is given by its name or as a path."""
    from cface_basicsr.zoo.catalogue import present_network
    return present_network(path)


def check_new(path: Path, overwrite: bool | None = None) -> None:
    """Check, before any work, that a command can write its file.

    Args:
        overwrite: whether it may replace one; None: the command cannot be asked to.

    Raises:
        UserError: the file exists, or its folder does not.
    """
    if path.exists() and not overwrite:
        raise UserError(f"'{path}' exists. Give another name, or remove it." if overwrite is None else
                        f"'{path}' exists; --overwrite replaces it.")
    if path.parent.is_file():
        raise UserError(f"'{path.parent}' is a file, not a folder. Name a place elsewhere.")
    if not path.parent.is_dir():
        raise UserError(f"the folder '{path.parent}' is missing. Make it, or name a place elsewhere.")


def check_folder(path: Path) -> None:
    """Check, before any work, that a command can make the folder of its results, if it is not there.

    Raises:
        UserError: it is a file, or below one.
    """
    place = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    if not place.is_dir():
        raise UserError(f"'{place}' is a file, not a folder. Name a place elsewhere.")


OptionPath = Annotated[Path, typer.Argument(callback=_found)]
"""An option file, a recipe or a benchmark file: one's own, or one of the plugin's. Each command says what it is for."""
OtherPath = Annotated[Path | None, typer.Option(callback=_found)]
"""The same for a command that has a file of its own."""
Json = Annotated[bool, typer.Option('--json', help='Print the result as JSON.')]
Device = Annotated[str | None, typer.Option(help='cpu, cuda, cuda:1 …; default: a GPU if there is one.')]
Workers = Annotated[int, typer.Option(min=0, help='Processes; 0: one per CPU core. The result is the same.')]
Overwrite = Annotated[bool, typer.Option('--overwrite', help='Replace results that exist.')]
Generator = Annotated[Path, typer.Option('--weights', '--network', callback=of_zoo, help=(
    'Network file, which says which network and scale it holds; or a name that `cface models list` prints.'))]
Processes = Annotated[int, typer.Option('--nproc', help='Training processes (one per GPU).')]
Values = Annotated[list[str] | None, typer.Option('--value', help='NAME=VALUE for a `$NAME` in the file.')]
Plugins = Annotated[list[str] | None, typer.Option('--plugin', metavar='MODULE', callback=_imported, help=(
    'Import this module, whose registered classes option files may name; may be repeated. Nothing else is imported '
    'because a file names it.'))]
"""Read before the command begins; it need not look at them."""
Data = Annotated[Path | None, typer.Option(help="Folder made by `cface prepare --holdout`, instead of the file's.")]
RunFolder = Annotated[Path | None, typer.Option('--out', help="Run folder, instead of the file's.")]
ImageBudget = Annotated[int | None, typer.Option('--images', min=1, help="Images per row, instead of the file's.")]
PlanOnly = Annotated[bool, typer.Option('--plan', help=(
    'Print every training with its images, iterations, and hours where they are known; train nothing.'))]
Measure = Annotated[bool, typer.Option('--measure', help=(
    'With --plan: time a few real steps of every training first, for the hours; the run folder keeps the throughput.'))]
Throughput = Annotated[Path | None, typer.Option(help='JSON file of measured throughput, so that none is measured.')]
Rows = Annotated[Path | None, typer.Option('--rows', help=(
    'A folder for the numbers and scores of each finished row; the trainings of rows that are there are left out.'))]
NoTrain = Annotated[bool, typer.Option('--no-train', help='Report the rows that --rows has, and train nothing.')]
Strict = Annotated[bool, typer.Option('--strict', help='Refuse a judge that led a loss of a row; otherwise the tables '
                                                       'say so.')]
