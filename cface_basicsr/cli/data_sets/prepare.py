"""`cface prepare`: pack photographs into the folder of stores that everything else reads."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.cli.arguments import Json, Workers
from cface_basicsr.cli.show import ShowSteps, say, say_json
from cface_basicsr.errors import UserError
from cface_basicsr.runtime import cores

if TYPE_CHECKING:
    from cface_basicsr.data.prepare.run import PrepareReport

def command(
    source: Annotated[list[str], typer.Argument(metavar='SRC')],
    out: Annotated[Path, typer.Option()],
    scale: Annotated[list[str] | None, typer.Option(metavar='N…', show_default='2 4 8')] = None,
    layout: str = 'casia', crop: str = 'center', size: str = '128',
    template: Annotated[str | None, typer.Option(show_default='arcface')] = None,
    weights: Annotated[Path | None, typer.Option(show_default='RetinaFace, which comes with the package')] = None,
    landmarks: Path | None = None, identity: str | None = None,
    pairs: Annotated[Path | None, typer.Option(show_default='next to or in SRC')] = None,
    people: Annotated[Path | None, typer.Option(show_default='next to or in SRC')] = None,
    partition: Annotated[str | None, typer.Option(show_default='all; tinyface: test')] = None,
    annotations: Annotated[Path | None, typer.Option(show_default='around SRC')] = None,
    store: str = 'png',
    holdout: Annotated[int, typer.Option(min=0)] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0, workers: Workers = 0, as_json: Json = False,
) -> None:
    """Pack photographs into LMDB stores of HR and LR faces, with labels and a manifest.

    What was read is reported on the screen and in manifest.json. Damaged images, files that are not images, photographs
    without a face, empty identities and escaped names are listed there too; they do not stop the run. A killed run
    continues when the same command is given again.

    Args:
        source: Folder of photographs, or file of an archive or a table.
        out: Folder to make; with --holdout it holds train/ and test/.
        scale: Scales, one store lr_x<N>.lmdb each: `--scale 2 4 8`.
        layout: casia: <identity>/<image>; folders: any tree of them; lfw: <Name>/<Name>_0001.jpg, with pairs.txt;
            celeba: flat images and text files; csv: a table with the columns file and identity; recordio: train.rec,
            train.idx, property; bin: lfw.bin; tinyface, survface, scface: the official trees of TinyFace, QMUL-SurvFace
            and SCface.
        crop: center: the middle pixels; align: five landmarks moved to a template; box: the surroundings of the box of
            CelebA in the wild; resize: the whole image, straight to each size, for native low-resolution faces;
            none: the images already have that size.
        size: Pixels of the HR face: a side, or HEIGHTxWIDTH such as 112x96.
        template: For --crop align: arcface (112x112) or sphereface (112x96); in a square both are the same.
        weights: For --crop align: folder with another detector of facexlib's.
        landmarks: For --crop align without a detector: file of lines NAME x1 y1 … x5 y5 (eyes, nose, corners of the
            mouth), or NAME and four points (its middle), or only the eyes. --layout celeba finds its own.
        identity: For --layout folders with deeper trees: the person is the first or the last folder.
        pairs: For --layout lfw: pairs.txt.
        people: For --layout lfw: people.txt; the folder is compared with it.
        partition: For --layout celeba: train, val, test or all. The paper measures on test. For --layout tinyface:
            train or test.
        annotations: For --layout celeba: folder with identity_CelebA.txt and the others.
        store: Form of the stored images: png; png0 (not compressed); jpeg (quality 95, HR only); webp (lossless); raw
            (bare pixels, which BasicSR's own data sets cannot read). docs/data.md has what each costs.
        holdout: Number of identities that go to test/; the others go to train/.
        seed: Selects the held-out identities.

    \b
    Example:
      cface prepare --layout casia CASIA-WebFace --out datasets/casia --scale 2 4 8 --crop center
      cface prepare --layout folders photos --out faces --crop align --holdout 40 --seed 0
      cface prepare --layout lfw lfw --out datasets/lfw --scale 2 4 8
      cface prepare --layout celeba CelebA --out datasets/celeba --partition test
      cface prepare --layout celeba CelebA --out datasets/celeba112 --crop align --template sphereface --size 112x96
      cface prepare --layout csv photos.csv --out datasets/mine
      cface prepare --layout recordio faces_emore --out datasets/ms1m --size 112
      cface prepare --layout bin faces_emore/lfw.bin --out datasets/lfw112 --crop none --size 112
      cface prepare --layout tinyface TinyFace --out datasets/tinyface --crop resize --scale 4
      cface prepare --layout survface QMUL-SurvFace --out datasets/survface --crop resize --scale 4
      cface prepare --layout scface SCface_database --out datasets/scface --crop align --landmarks eyes.txt --scale 4
    """
    from cface_basicsr.data.prepare.run import PrepareSettings, prepare
    folder, scales = split_scales(source, scale or [])
    if crop == 'align':
        template = template or 'arcface'
    settings = PrepareSettings(
        scales=scales or (2, 4, 8), crop=crop, size=parse_size(size), layout=layout, template=template,
        weights=weights, landmarks=landmarks, store=store, holdout=holdout, seed=seed, identity=identity, pairs=pairs,
        people=people, partition=partition, annotations=annotations)
    with ShowSteps(1) as show:
        report = prepare(folder, out, settings, workers=workers or cores(), progress=show.follow('packing'))
    say_json(_as_plain(report)) if as_json else say(_as_text(report))


def parse_size(text: str) -> int | tuple[int, int]:
    """A side, or height and width; a square is its side.

    >>> parse_size('128'), parse_size('112x96'), parse_size('112x112')
    (128, (112, 96), 112)

    Raises:
        UserError: it is neither.
    """
    numbers = re.fullmatch(r'(\d+)(?:x(\d+))?', text.strip())
    if numbers is None:
        raise UserError(f"--size: expected a side such as 128, or HEIGHTxWIDTH such as 112x96, got '{text}'.")
    height, width = int(numbers[1]), int(numbers[2] or numbers[1])
    return height if height == width else (height, width)


def split_scales(words: list[str], values: list[str]) -> tuple[str, tuple[int, ...]]:
    """Separate the source folder from further values of --scale.

    The parser gives an option one value and takes the 4 and 8 of `--scale 2 4 8` for arguments, so numbers among the
    arguments belong to --scale. A folder called 4 is written ./4. `--scale 2 --scale 4` and `--scale 2,4` work as well.

    >>> split_scales(['4', '8', 'photos'], ['2'])
    ('photos', (2, 4, 8))

    Raises:
        UserError: not exactly one folder, or a scale that is not a number.
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


def _as_plain(report: 'PrepareReport') -> dict[str, Any]:
    """The result as plain values, for --json."""
    return {
        'already_finished': report.already_finished,
        'parts': {name or 'all': {
            'folder': str(part.folder), 'images': part.images, 'identities': part.identities, 'sha256': part.files,
            'duplicates': part.duplicates} for name, part in report.parts.items()},
        'rejected': report.rejected,
        'renamed': [[source.key, source.path] for source in report.renamed],
        'notes': report.notes,
    }


def _as_text(report: 'PrepareReport') -> str:
    """The result for the screen."""
    from cface_basicsr.report.page import render
    counts = Counter(reason for _, reason in report.rejected).most_common(5)
    groups = sorted({tuple(group) for part in report.parts.values() for group in part.duplicates})
    mixed = report.has_identities and any(len({key.split('/')[0] for key in group}) > 1 for group in groups)
    text = render('prepare.txt.j2', report=report, groups=groups, mixed=mixed,
                  reasons=[f'{reason}: {count}' for reason, count in counts if count > 1])
    return text.removesuffix('\n')
