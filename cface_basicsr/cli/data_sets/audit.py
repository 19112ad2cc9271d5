"""`cface audit`: do a training set and a test set share people or pictures?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cface_basicsr.cli.arguments import Json, Overwrite, Workers, check_new
from cface_basicsr.cli.show import ShowSteps, say, say_json
from cface_basicsr.files.atomic import write_json
from cface_basicsr.runtime import cores
from cface_basicsr.version import __version__


def command(
    train: Annotated[Path, typer.Argument(metavar='TRAIN')],
    test: Annotated[Path, typer.Argument(metavar='TEST')],
    near: Annotated[int | None, typer.Option(min=0, max=120, show_default='22')] = None,
    names: Path | None = None, test_names: Path | None = None,
    names_only: Annotated[bool, typer.Option('--names-only')] = False,
    within: Annotated[bool, typer.Option('--within')] = False,
    out: Annotated[Path | None, typer.Option(metavar='FILE.json')] = None,
    overwrite: Overwrite = False, workers: Workers = 0, as_json: Json = False,
) -> None:
    """Say which people and which pictures of a test set are in the training set too.

    People are compared by name: to the letter, and again without case, accents and punctuation. Pictures are compared
    by their pixels, and by a hash that survives recompression, resizing, a small crop and a mirror; what the hash finds
    is compared as pictures before it is reported. Nothing is changed.

    Exit code 0: the sets are disjoint; 1: something is in both; 2: bad input.

    Args:
        train: Training set: a folder made by `cface prepare`, or photographs as <identity>/<image>.
        test: Test set, in the same form.
        near: Bits of 120 in which the hashes of near-duplicates may differ.
        names: Names of TRAIN's identities, lines `id name`, if their folders are numbers (CASIA-WebFace).
        test_names: The same for TEST.
        names_only: Compare only names; open no picture.
        within: Also search each set for near-duplicates under two identities.
        out: Save everything that was found.

    \b
    Example:
      cface audit datasets/casia/train datasets/lfw --names casia_names.txt --out audit.json
    """
    from cface_basicsr.data.audit.audit import audit, audit_names
    from cface_basicsr.data.audit.identity_names import read_names
    from cface_basicsr.data.audit.near_duplicates import NEAR
    from cface_basicsr.data.audit.picture_set import open_alike, open_pictures
    from cface_basicsr.report.page import render
    if out:
        check_new(out, overwrite)
    sides = (open_pictures(train), open_pictures(test)) if names_only else open_alike(train, test)
    for side, path in zip(sides, (names, test_names), strict=True):
        if path:
            side.names = read_names(path, side.identities)
    if names_only:
        result = audit_names(*sides)
    else:
        with ShowSteps(8 if within else 4) as show:
            result = audit(*sides, show=show, near=NEAR if near is None else near, within=within,
                           workers=workers or cores())
    facts = {'command': ' '.join(['cface', *sys.argv[1:]]), 'cface_basicsr': __version__, **result.as_plain()}
    if out:
        write_json(out, facts)
    say_json(facts) if as_json else say(render('audit.txt.j2', result=result))
    raise typer.Exit(1 if result.overlaps else 0)
