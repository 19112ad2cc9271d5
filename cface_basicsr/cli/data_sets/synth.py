"""`cface synth`: draw synthetic faces in the casia layout."""

from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Json, Workers
from cface_basicsr.runtime import cores


def command(
    identities: Annotated[int, typer.Option('--identities', '-n')],
    images: Annotated[int, typer.Option('--images', '-m')],
    out: Annotated[Path, typer.Option('--out', '-o')],
    size: int = 250, seed: Annotated[int, typer.Option(min=0)] = 0,
    workers: Workers = 0, as_json: Json = False,
) -> None:
    """Draw synthetic faces as OUT/<identity>/<image>.jpg, ready for `cface prepare --layout casia`.

    They show nobody. An identity is a head shape, eyes, brows, nose, mouth, skin, hair, beard and glasses; each photo
    has its own pose, expression, light, background, camera and noise. The same numbers draw the same faces; a killed
    run continues where it stopped.

    Args:
        identities: How many people.
        images: How many photos of each.
        out: Folder to write: new, empty, or from a killed run.
        size: Side of a photo in pixels; the face fills the middle half.
        seed: Another seed gives another population.

    \b
    Example:
      cface synth --identities 80 --images 16 --out faces
      cface prepare --layout casia faces --out data --scale 8 --crop center
    """
    from cface_basicsr.cli.show import ShowSteps, say, say_json
    from cface_basicsr.data.generated_faces.tree import TreeSettings, write_synthetic_faces
    settings = TreeSettings(identities=identities, images=images, size=size, seed=seed)
    total = identities * images
    with ShowSteps(1) as show:
        drawn = write_synthetic_faces(out, settings, workers=workers or cores(), progress=show.follow('drawing faces'))
    if as_json:
        say_json({'out': str(out), 'identities': identities, 'images': images, 'size': size, 'seed': seed,
                  'drawn': drawn, 'found': total - drawn})
    else:
        say(f'{total} photos of {identities} people in {out} ({drawn} drawn now).')
