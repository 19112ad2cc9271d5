"""`cface synth`: draw generated faces in the casia layout."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cface_basicsr.runtime import cores

if TYPE_CHECKING:
    from rich.progress import Progress


def command(
    identities: Annotated[int, typer.Option('--identities', '-n', help='How many people.')],
    images: Annotated[int, typer.Option('--images', '-m', help='How many photos of each.')],
    out: Annotated[Path, typer.Option('--out', '-o', help='The folder to write: new, empty, or a run to go on with.')],
    size: Annotated[int, typer.Option(help='Side of a photo in pixels; the face fills the middle half.')] = 250,
    seed: Annotated[int, typer.Option(help='Another seed is another population.')] = 0,
    workers: Annotated[int, typer.Option(help='Processes; 0 is one a CPU core. Any number draws the same.')] = 0,
    as_json: Annotated[bool, typer.Option('--json', help='Print the result as JSON.')] = False,
) -> None:
    """Draw parametric faces as OUT/<identity>/<image>.jpg, ready for `cface prepare --layout casia`.

    Nobody is behind them. An identity is a head shape, eyes, brows, nose, mouth, skin, hair, beard and glasses;
    each photo has its own pose, expression, light, background, camera and noise. The same numbers draw the same
    faces; a killed run goes on where it stopped.

    \b
    Example:
      cface synth --identities 80 --images 16 --out faces
      cface prepare --layout casia faces --out data --scale 8 --crop center
    """
    from cface_basicsr.data.generated_faces.tree import TreeSettings, write_generated_faces
    settings = TreeSettings(identities=identities, images=images, size=size, seed=seed)
    total = identities * images
    with _progress() as bar:
        task = bar.add_task('drawing faces', total=total)
        drawn = write_generated_faces(out, settings, workers=workers or cores(),
                                      on_progress=lambda done: bar.advance(task, done))
    if as_json:
        print(json.dumps({'out': str(out), 'identities': identities, 'images': images, 'size': size, 'seed': seed,
                          'drawn': drawn, 'found': total - drawn}))
    else:
        print(f'{total} photos of {identities} people in {out} ({drawn} drawn now).')


def _progress() -> 'Progress':
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
    return Progress('{task.description}', BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), 'left',
                    TimeRemainingColumn(), console=Console(file=sys.stderr))
