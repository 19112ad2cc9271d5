"""`cface prepare`: photographs -> the folder of stores that everything else reads."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.errors import UserError

if TYPE_CHECKING:
    from cface_basicsr.data.prepare import Report

SHOWN = 20
"""Lines of one kind on the screen; manifest.json has them all."""


def command(
    source: Annotated[list[str], typer.Argument(metavar='SRC', show_default=False,
                                                help='Folder of photographs, <identity>/<image>.')],
    out: Annotated[Path, typer.Option(help='Folder to make; with --holdout it holds train/ and test/.',
                                      show_default=False)],
    scale: Annotated[list[str] | None, typer.Option(metavar='N…', show_default='2 4 8', help=(
        'Reductions, each a store lr_x<N>.lmdb: `--scale 2 4 8`.'))] = None,
    layout: Annotated[str, typer.Option(help='Layout of SRC; casia: one folder a person.')] = 'casia',
    crop: Annotated[str, typer.Option(help=(
        'center: the middle SIZE x SIZE pixels; align: by five landmarks to a template; none: the images have that '
        'size already.'))] = 'center',
    size: Annotated[int, typer.Option(min=16, help='Pixels of the square HR face.')] = 128,
    template: Annotated[str | None, typer.Option(show_default='arcface', help=(
        'For --crop align: arcface (112x112) or sphereface (112x96).'))] = None,
    weights: Annotated[Path | None, typer.Option(show_default=False, help=(
        "For --crop align: folder with facexlib's detector weights."))] = None,
    holdout: Annotated[int, typer.Option(min=0, help='So many identities go to test/, the others to train/.')] = 0,
    seed: Annotated[int, typer.Option(help='Chooses the held-out identities.')] = 0,
    workers: Annotated[int, typer.Option(min=0, help='Processes; 0: one a CPU core. The result is the same.')] = 0,
    as_json: Annotated[bool, typer.Option('--json', help='Print the result as JSON.')] = False,
) -> None:
    """Pack photographs into LMDB stores of HR and LR faces, with labels and a manifest.

    Damaged images, files that are no images, empty identities and escaped names are listed on the screen and in
    manifest.json; they end nothing. A killed run continues when the same command is given again.

    \b
    Example:
      cface prepare --layout casia CASIA-WebFace --out datasets/casia --scale 2 4 8 --crop center
      cface prepare --layout casia photos --out faces --crop align --weights weights --holdout 40 --seed 0
    """
    from cface_basicsr.data.prepare import PrepareSettings, prepare
    folder, scales = split_scales(source, scale or [])
    if crop == 'align':
        template = template or 'arcface'
    settings = PrepareSettings(scales=scales or (2, 4, 8), crop=crop, size=size, layout=layout, template=template,
                               weights=weights, holdout=holdout, seed=seed)
    with _Bar() as bar:
        report = prepare(folder, out, settings, workers=workers or _cores(), progress=bar)
    print(json.dumps(as_plain(report)) if as_json else as_text(report))


def split_scales(words: list[str], values: list[str]) -> tuple[str, tuple[int, ...]]:
    """Tell the source folder from further values of --scale.

    The parser gives an option one value and takes the 4 and 8 of `--scale 2 4 8` for arguments, so numbers among the
    arguments belong to --scale. A folder that is called 4 is written ./4. `--scale 2 --scale 4` and `--scale 2,4` work
    as well.

    >>> split_scales(['4', '8', 'photos'], ['2'])
    ('photos', (2, 4, 8))

    Raises:
        UserError: not exactly one folder, or a scale that is no number.
    """
    folders = [word for word in words if not word.isdigit()]
    numbers = [number for value in values for number in re.split('[ ,]+', value.strip())]
    if values:
        numbers += [word for word in words if word.isdigit()]
    else:
        folders = words
    if len(folders) != 1:
        raise UserError(f'expected one source folder, got {len(folders)}: {" ".join(folders) or "none"}.\n'
                        'Example: cface prepare --layout casia SRC --out DIR --scale 2 4 8')
    if bad := [number for number in numbers if not number.isdigit()]:
        raise UserError(f"--scale: expected whole numbers such as 2 4 8, got '{bad[0]}'.")
    return folders[0], tuple(sorted({int(number) for number in numbers}))


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class _Bar:
    """A bar with photographs a second and the time left, on stderr."""

    def __enter__(self) -> '_Bar':
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        self._bar = Progress('packing', BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[rate]} photos/s'),
                             'left', TimeRemainingColumn(), console=Console(stderr=True))
        self._task: Any = None
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        if self._task is None:
            self._bar.start()
            self._task = self._bar.add_task('', total=total, completed=done, rate='-')
            self._first = done
        seconds = time.monotonic() - self._began
        self._bar.update(self._task, completed=done, rate=f'{(done - self._first) / seconds:.0f}')


def as_plain(report: 'Report') -> dict[str, Any]:
    """The result as plain values, for --json."""
    return {
        'already_finished': report.already_finished,
        'parts': {name or 'all': {
            'folder': str(part.folder), 'images': part.images, 'identities': part.identities, 'sha256': part.files,
            'duplicates': part.duplicates} for name, part in report.parts.items()},
        'rejected': report.rejected,
        'renamed': [list(source) for source in report.renamed],
    }


def as_text(report: 'Report') -> str:
    """The result for the screen: what was made, and everything that was not taken as it is."""
    done = 'finished already, nothing to do' if report.already_finished else 'made'
    lines = [f'{part.folder}: {done}: {part.images} images of {part.identities} identities'
             for part in report.parts.values()]
    lines += _list('rejected', [f'{path}: {reason}' for path, reason in report.rejected])
    lines += _list('names escaped (originals in identities.csv)',
                   [f'{source.path} -> {source.key}' for source in report.renamed])
    groups = sorted({tuple(group) for part in report.parts.values() for group in part.duplicates})
    lines += _list('equal pictures (kept)', [' = '.join(group) for group in groups])
    if any(len({key.split('/')[0] for key in group}) > 1 for group in groups):
        lines.append('Some equal pictures carry different identities: see duplicates in manifest.json.')
    # Names that are no UTF-8 come as lone surrogates, which no terminal takes.
    return '\n'.join(lines).encode(sys.stdout.encoding or 'utf-8', 'backslashreplace').decode(
        sys.stdout.encoding or 'utf-8')


def _list(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    rest = [f'  … and {len(items) - SHOWN} more in manifest.json'] if len(items) > SHOWN else []
    return [f'{title}: {len(items)}', *(f'  {item}' for item in items[:SHOWN]), *rest]
