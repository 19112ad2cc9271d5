"""The option files that come with the plugin: `options/` of a clone, or the copy that an installation carries."""

from collections.abc import Iterable
from pathlib import Path

from cface_basicsr.errors import UserError, check_file, first_few, nearest
from cface_basicsr.files.atomic import write_text

_FOLDER = 'options'
_PLACES = (Path(__file__).parents[2] / _FOLDER, Path(__file__).parents[1] / 'recipes')


def shipped_folder() -> Path:
    """The folder with the option files.

    Raises:
        UserError: it is in neither place.
    """
    for place in _PLACES:
        if (place / 'cface_x8.yml').is_file():
            return place
    raise UserError(f"the plugin's option files are neither in '{_PLACES[0]}' nor in '{_PLACES[1]}'.\n"
                    'Install the plugin again, or run the command from a clone.')


def shipped_files() -> dict[str, Path]:
    """Name ('baselines/edsr_x8.yml') -> path of every option file, recipe and benchmark file, sorted by name.

    Raises:
        UserError: the folder is missing.
    """
    folder = shipped_folder()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob('*.yml')}
    return {name: files[name] for name in sorted(files, key=lambda name: ('/' in name, name))}


def find_option_file(path: str | Path) -> Path:
    """The option file that a command was given: the path as it is, or else the one that comes with the plugin.

    `options/baselines/edsr_x8.yml` and `baselines/edsr_x8.yml` are the same one, in any working directory.

    Raises:
        UserError: there is none; the message says where it looked.
    """
    path = Path(path)
    if path.exists() or path.is_absolute():
        return check_file(path, 'Expected a YAML file.', 'option file')
    shipped = shipped_files()
    name = path.as_posix().removeprefix(f'{_FOLDER}/')
    if name in shipped:
        return shipped[name]
    advice = _advice(name, shipped)
    raise UserError(f"option file '{path}' is missing. Looked in '{Path.cwd()}' and '{shipped_folder()}'; {advice}")


def _advice(name: str, shipped: Iterable[str]) -> str:
    """What to do if no file has this name."""
    in_a_folder = [each for each in shipped if Path(each).name == Path(name).name]
    near = f"did you mean '{in_a_folder[0]}'?" if in_a_folder else nearest(name, shipped)
    return near if near.startswith('did you mean') else '`cface options list` prints what is there.'


def copy_option_files(folder: Path) -> list[Path]:
    """Copy all option files and the schemas for editors into a folder; files that are there already are kept.

    Returns:
        the copied files.

    Raises:
        UserError: one is there with other contents; nothing is copied then.
    """
    shipped = shipped_folder()
    wanted = {folder / path.relative_to(shipped): path.read_text(encoding='utf-8')
              for path in sorted(shipped.rglob('*')) if path.suffix in ('.yml', '.json')}
    other = [str(path) for path, text in wanted.items() if path.exists() and _text(path) != text]
    if other:
        raise UserError(f"'{folder}': {len(other)} of the option files are there already, with other contents: "
                        f'{first_few(other)}.\nGive another folder, or move them away; nothing was copied.')
    missing = [path for path in wanted if not path.exists()]
    for path in missing:
        write_text(path, wanted[path])
    return missing


def _text(path: Path) -> str | None:
    return path.read_text(encoding='utf-8', errors='replace') if path.is_file() else None
