"""The BasicSR on this machine, looked at and repaired as files: never imported here, as its import may fail."""

import importlib.machinery
import re
import sys
from pathlib import Path
from typing import NamedTuple

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing

BACKUP = '.before-cface'
"""What the copy of a repaired file is called: `degradations.py.before-cface`, in the same folder."""


class Repair(NamedTuple):
    """One textual edit of one file of BasicSR.

    Attributes:
        name: as `cface doctor` shows it.
        file: below the package.
        old: the defective text; it must be there exactly once.
        new: what takes its place.
        symptom: what a user sees.
        upstream: where it was reported.
    """

    name: str
    file: str
    old: bytes
    new: bytes
    symptom: str
    upstream: str


REPAIRS = (
    Repair(name='functional-tensor', file='data/degradations.py',
           old=b'from torchvision.transforms.functional_tensor import rgb_to_grayscale',
           new=b'from torchvision.transforms.functional import rgb_to_grayscale',
           symptom="import basicsr: No module named 'torchvision.transforms.functional_tensor'",
           upstream='BasicSR #533, #663, #738'),
    Repair(name='local-rank', file='utils/options.py',
           old=b"add_argument('--local_rank', type=int",
           new=b"add_argument('--local_rank', '--local-rank', type=int",
           symptom='torch.distributed.launch: unrecognized arguments: --local-rank=0',
           upstream='BasicSR #626'),
)


def find_package() -> Path | None:
    """The folder of the `basicsr` that a program of this Python imports, wherever that program itself is."""
    elsewhere = sys.path if getattr(sys.flags, 'safe_path', False) else sys.path[1:]  # the first is that folder
    spec = importlib.machinery.PathFinder.find_spec('basicsr', elsewhere) or _editable_spec()
    return Path(spec.origin).parent if spec and spec.origin else None


def _editable_spec() -> importlib.machinery.ModuleSpec | None:
    """An editable install answers by a finder of its own, not by sys.path."""
    for finder in sys.meta_path:
        if getattr(finder, '__module__', '').startswith('__editable__'):
            spec = finder.find_spec('basicsr', None)
            if spec:
                return spec
    return None


def package_in(folder: str | Path) -> Path:
    """The package of a checkout: the folder itself or `basicsr` below it.

    Raises:
        UserError: there is none.
    """
    for package in (Path(folder), Path(folder) / 'basicsr'):
        if (package / 'utils' / 'options.py').is_file() and (package / 'train.py').is_file():
            return package
    raise UserError(f"'{folder}' is not a BasicSR: expected a checkout, or the package's folder with train.py in it.")


def version_of(package: Path) -> str | None:
    """What version.py says; None where it is missing, as in a checkout that was never installed."""
    try:
        found = re.search(r"__version__ = '(.+)'", (package / 'version.py').read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    return found[1] if found else None


def status(package: Path, repair: Repair) -> str:
    """`defect`, `repaired` (by us, with a backup), `fine`, or `unknown`: neither text is there once."""
    content = _content(package, repair)
    if content.count(repair.new) == 1:
        return 'repaired' if _backup(package, repair).is_file() else 'fine'
    return 'defect' if content.count(repair.old) == 1 else 'unknown'


def line_of(package: Path, repair: Repair) -> int:
    """The line of the file that the edit is in, from 1; 0 where it is nowhere."""
    content = _content(package, repair)
    places = [content.find(text) for text in (repair.new, repair.old) if text in content]
    return content.count(b'\n', 0, places[0]) + 1 if places else 0


def repair(package: Path, repair: Repair) -> None:
    """Edit the file in one rename, with a copy of the old one next to it.

    Raises:
        UserError: the edit does not leave a Python file, or the folder cannot be written.
    """
    path = package / repair.file
    old = path.read_bytes()
    new = old.replace(repair.old, repair.new)
    try:
        compile(new, str(path), 'exec')
    except SyntaxError as error:
        raise UserError(f"'{path}' would not be valid Python after the edit ({error}); nothing was changed.") from error
    _write(_backup(package, repair), old, path)
    _write(path, new, path)


def restore(package: Path, repair: Repair) -> None:
    """Put back the file as it was before `repair`, byte for byte.

    Raises:
        UserError: the file has been changed since.
    """
    path, backup = package / repair.file, _backup(package, repair)
    old = backup.read_bytes()
    if path.read_bytes() != old.replace(repair.old, repair.new):
        raise UserError(f"'{path}' was changed after the repair; it is left alone.\n"
                        f"Its state before the repair is '{backup}'.")
    _write(path, old, path)
    backup.unlink()


def _content(package: Path, repair: Repair) -> bytes:
    path = package / repair.file
    return path.read_bytes() if path.is_file() else b''


def _backup(package: Path, repair: Repair) -> Path:
    path = package / repair.file
    return path.with_name(path.name + BACKUP)


def _write(path: Path, content: bytes, like: Path) -> None:
    """Write aside, then rename; with the access rights of `like`."""
    try:
        with replacing(path) as aside:
            aside.write_bytes(content)
            aside.chmod(like.stat().st_mode & 0o7777)
    except PermissionError as error:
        raise UserError(f"'{path.parent}' cannot be written: run the command as the user who installed BasicSR, or "
                        'use an environment of your own.') from error
