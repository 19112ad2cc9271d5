"""Writes synthetic faces as a source tree in CASIA-WebFace's layout: `<7-digit identity>/<3-digit image>.jpg`."""

from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from cface_basicsr.data.generated_faces.render import PHOTO, render_photo
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing, write_json
from cface_basicsr.files.face_store import encode_image
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import check_made_with
from cface_basicsr.runtime import start_worker

SETTINGS = '.cface_synth.json'
DRAWING = 3  # raised when the same numbers would draw other faces


@dataclass(frozen=True)
class TreeSettings:
    """What a tree holds.

    Attributes:
        identities: their number.
        images: number of images of each identity.
        size: side of a photo in pixels.
        seed: of the population.
        drawing: version of the program that draws.
    """

    identities: int
    images: int
    size: int = PHOTO
    seed: int = 0
    drawing: int = DRAWING

    def __post_init__(self) -> None:
        for name, least, most in (('identities', 1, 10 ** 7), ('images', 1, 1000), ('size', 32, 2000),
                                  ('seed', 0, 2 ** 32 - 1)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UserError(f'{name}: expected {least} to {most}, got {value}.')


def write_synthetic_faces(out: str | Path, settings: TreeSettings, *, workers: int = 1,
                          progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Draw every photo that is missing, so a killed run continues where it stopped.

    Args:
        out: the folder of the tree, which is made if necessary. It must be empty or hold the same tree.
        settings: what to draw.
        workers: number of processes, which does not change the photos; 1: this process draws.
        progress: called with (photos drawn or found, photos in all).

    Returns:
        The number of photos that were drawn; the others existed.

    Raises:
        UserError: the folder holds something else, or a number is out of range.
    """
    if workers < 1:
        raise UserError(f'workers: expected 1 or more, got {workers}.')
    folder = Path(out)
    _claim(folder, settings)
    drawn = 0
    with closing(_draw_all(folder, settings, workers)) as drawing:
        for number, new in enumerate(drawing, start=1):
            drawn += new
            progress(number * settings.images, settings.identities * settings.images)
    return drawn


def _claim(folder: Path, settings: TreeSettings) -> None:
    """Record the settings in an empty folder, or check that it was made with the same."""
    marker = folder / SETTINGS
    if marker.is_file():
        made_with = read_json(marker, dict[str, int], f"Delete the folder '{folder}' and draw it again.")
        return check_made_with(folder, made_with, asdict(settings))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"'{folder}' is not empty, and holds no synthetic faces. Name another folder with --out.")
    folder.mkdir(parents=True, exist_ok=True)
    return write_json(marker, asdict(settings))


def _draw_all(folder: Path, settings: TreeSettings, workers: int) -> Generator[int]:
    """The number of newly drawn photos of each identity, in the order in which they finish."""
    if workers == 1:
        yield from (_draw_photos(folder, settings, identity) for identity in range(settings.identities))
        return
    # Spawned, not forked: the caller may have threads (torch, lmdb), whose state a fork would copy at any moment.
    with ProcessPoolExecutor(min(workers, settings.identities), get_context('spawn'), start_worker) as pool:
        jobs = [pool.submit(_draw_photos, folder, settings, identity) for identity in range(settings.identities)]
        try:
            yield from (job.result() for job in as_completed(jobs))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C; the end of the block would draw all of them


def _draw_photos(folder: Path, settings: TreeSettings, identity: int) -> int:
    """Draw the missing photos of one identity; returns their number."""
    home = folder / f'{identity:07d}'
    home.mkdir(exist_ok=True)
    missing = [i for i in range(settings.images) if not (home / f'{i:03d}.jpg').is_file()]
    for image in missing:
        photo = render_photo(identity, image, settings.size, settings.seed)
        with replacing(home / f'{image:03d}.jpg') as aside:
            aside.write_bytes(encode_image(photo, 'jpeg'))
    return len(missing)
