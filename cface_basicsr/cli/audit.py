"""`cface audit`: do a training set and a test set share people or pictures?"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.cli.arguments import Json, Overwrite, Workers
from cface_basicsr.cli.show import listed, printable
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text

if TYPE_CHECKING:
    from cface_basicsr.data.audit.audit import Audit, Match, Names, SideFacts
    from cface_basicsr.data.audit.identity_names import SharedPerson
    from cface_basicsr.data.audit.picture_set import PictureSet

def command(
    train: Annotated[Path, typer.Argument(metavar='TRAIN', help=(
        'Training set: a folder made by `cface prepare`, or photographs as <identity>/<image>.'))],
    test: Annotated[Path, typer.Argument(metavar='TEST', help='Test set, in the same form.')],
    near: Annotated[int | None, typer.Option(min=0, max=120, show_default='22', help=(
        'Bits of 120 in which the hashes of near-duplicates may differ.'))] = None,
    names: Annotated[Path | None, typer.Option(help=(
        "Names of TRAIN's identities, lines `id name`, if their folders are numbers (CASIA-WebFace)."))] = None,
    test_names: Annotated[Path | None, typer.Option(help='The same for TEST.')] = None,
    names_only: Annotated[bool, typer.Option('--names-only', help='Compare only names; open no picture.')] = False,
    within: Annotated[bool, typer.Option('--within', help='Also near-duplicates within a set.')] = False,
    out: Annotated[Path | None, typer.Option(metavar='FILE.json', help='Save everything that was found.')] = None,
    overwrite: Overwrite = False, workers: Workers = 0, as_json: Json = False,
) -> None:
    """Say which people and which pictures of a test set are in the training set too.

    People are compared by name: to the letter, and again without case, accents and punctuation. Pictures are compared
    by their pixels, and by a hash that survives recompression, resizing, a small crop and a mirror; what the hash finds
    is compared as pictures before it is reported. Nothing is changed.

    Exit code 0: the sets are disjoint; 1: something is in both; 2: bad input.

    \b
    Example:
      cface audit datasets/casia/train datasets/lfw --names casia_names.txt --out audit.json
    """
    if out and out.exists() and not overwrite:
        raise UserError(f"'{out}' exists; --overwrite replaces it.")
    if out and not out.parent.is_dir():
        raise UserError(f"--out: the folder '{out.parent}' is missing.")
    result = _audit(train, test, near, names, test_names, names_only, within, workers)
    if out:
        write_text(out, _json(result, indent=1) + '\n')
    typer.echo(_json(result) if as_json else printable(_as_text(result)))
    raise typer.Exit(1 if result.overlaps else 0)


def _audit(train: Path, test: Path, near: int | None, names: Path | None, test_names: Path | None, names_only: bool,
           within: bool, workers: int) -> 'Audit':
    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.data.audit.audit import audit, audit_names
    from cface_basicsr.data.audit.near_duplicates import NEAR
    from cface_basicsr.data.audit.picture_set import open_alike, open_pictures
    from cface_basicsr.runtime import cores
    sides = (open_pictures(train), open_pictures(test)) if names_only else open_alike(train, test)
    named = _read_names(sides, names, test_names)
    if names_only:
        return audit_names(*sides, named)
    with ShowSteps(8 if within else 4) as show:
        return audit(*sides, show=show, names=named, near=NEAR if near is None else near, within=within,
                     workers=workers or cores())


def _read_names(sides: 'tuple[PictureSet, PictureSet]', *files: Path | None) -> 'Names':
    from cface_basicsr.data.audit.audit import Names, identities_of
    from cface_basicsr.data.audit.identity_names import read_names
    return Names(*(read_names(path, identities_of(side)) if path else {}
                   for side, path in zip(sides, files, strict=True)))


def _json(result: 'Audit', indent: int | None = None) -> str:
    from cface_basicsr.version import __version__
    facts: dict[str, Any] = {'command': ' '.join(['cface', *sys.argv[1:]]), 'cface_basicsr': __version__}
    return json.dumps(facts | result.as_plain(), indent=indent)


def _as_text(result: 'Audit') -> str:
    """The result for the screen: each kind of overlap with its first cases."""
    lines = [*_side('TRAIN', result.train), *_side('TEST', result.test),
             *_list('names in both', [_person(person) for person in result.people])]
    if result.settings:
        lines += _list('equal pictures in both', [_match(match) for match in result.equal])
        lines += _list('near-duplicates in both', [_match(match) for match in result.near])
        for name, matches in result.within.items():
            kind = 'equal pictures and near-duplicates' if result.settings['near_within'] else 'equal pictures'
            lines += _list(f'inside {name.upper()}, {kind} under two identities', [_match(each) for each in matches])
    lines += [f'note: {note}' for note in result.notes]
    compared = 'Names and pictures' if result.settings else 'Names'
    return '\n'.join([*lines, 'TRAIN and TEST overlap.' if result.overlaps else f'{compared}: nothing is in both.'])


def _side(name: str, facts: 'SideFacts') -> list[str]:
    line = f'{name}  {facts.folder}: {facts.images:,} pictures of {facts.identities:,} identities ({facts.crop})'
    return [line, *(_list('  not read', [f'{path}: {why}' for path, why in facts.rejected]) if facts.rejected else [])]


def _person(person: 'SharedPerson') -> str:
    how = '' if person.as_written else '  (written differently)'
    return f'{person.name}: {", ".join(person.train)} = {", ".join(person.test)}{how}'


def _match(match: 'Match') -> str:
    kind = {'equal': '', 'near': f'  (likeness {match.likeness:.3f}, {match.distance} bits)',
            'mirrored': f'  (mirrored, likeness {match.likeness:.3f}, {match.distance} bits)'}[match.kind]
    return (f'{", ".join(match.train)} = {", ".join(match.test)}{kind}  '
            + ('same person' if match.same_person else f'other person: {" / ".join(match.people)}'))


def _list(title: str, items: list[str]) -> list[str]:
    return listed(title, items, 'more; --out FILE.json has all')
