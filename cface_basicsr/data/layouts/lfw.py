"""Labeled Faces in the Wild, original, funneled or deep-funneled: <Name>/<Name>_0001.jpg, pairs.txt, people.txt.

The folder of people may be the source or up to two levels below it (the archives have one folder at the top). The text
files are looked for in that folder, in the folders between it and the source, and next to the source.
"""

import os
import re
from collections import Counter
from pathlib import Path

from cface_basicsr.data.layouts.folder_search import existing_folder, find_below, sorted_entries
from cface_basicsr.data.layouts.folders import list_sources
from cface_basicsr.data.layouts.source import OUTSIDE, Listing
from cface_basicsr.errors import UserError, first_few
from cface_basicsr.files.image_keys import composed, find_images
from cface_basicsr.files.named_pairs import lfw_words, read_named_pairs
from cface_basicsr.files.text_file import read_lines

_DEEPEST = 2
_DOCUMENTS = ('.txt', '.csv', '.html')
"""Endings of the other files in LFW's archives."""


def list_lfw(source: str | Path, *, pairs: Path | None = None, people: Path | None = None) -> Listing:
    """The images of LFW, with the pairs of its protocol.

    Args:
        source: the folder of people, or a folder up to two levels above it.
        pairs: pairs.txt; None: the one in or around the folder, if there is one.
        people: people.txt, likewise; the folder is compared with it.

    Raises:
        UserError: no folder holds people, or several do; or a text file is missing or malformed.
    """
    source = existing_folder(source, '<Name>/<Name>_0001.jpg files')
    root = find_below(source, _holds_identities, _DEEPEST, 'LFW', '<Name>/<Name>_0001.jpg, nor do the folders in it. '
                      "Expected LFW's images; for other names use --layout folders.")
    listing = list_sources(root)
    _reject_other_names(listing)
    listing.rejected = [(path, reason) for path, reason in listing.rejected
                        if not (reason == OUTSIDE and path.endswith(_DOCUMENTS))]
    listing.facts['images_in'] = str(root.absolute())
    listing.notes.append(f"{len(listing.sources)} images in '{root}'.")
    around = [root, *(folder for folder in root.parents if folder.is_relative_to(source)), source.absolute().parent]
    if people := people or _find('people.txt', around):
        _compare_people(listing, people)
    if pairs := pairs or _find('pairs.txt', around):
        _take_pairs(listing, pairs)
    else:
        listing.notes.append('no pairs.txt next to or inside the folder, so no pairs.csv is made; --pairs names one.')
    return listing



def _holds_identities(folder: Path) -> bool:
    """Whether one of its folders holds an image that is named after that folder."""
    people = (entry for entry in sorted_entries(folder) if os.path.isdir(entry.path))
    return any(_is_image_of(person.name, file.name) for person in people for file in sorted_entries(person.path))


def _is_image_of(person: str, file: str) -> bool:
    return re.fullmatch(re.escape(composed(person)) + r'_\d{4}', composed(os.path.splitext(file)[0])) is not None


def _reject_other_names(listing: Listing) -> None:
    kept = []
    for source in listing.sources:
        person, file = source.path.split('/')
        if _is_image_of(person, file):
            kept.append(source)
        else:
            listing.rejected.append((source.path, f'is not called {person}_ and four digits'))
    listing.sources = kept


def _find(name: str, folders: list[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _compare_people(listing: Listing, path: Path) -> None:
    """Note how the folder's people and their numbers of images differ from people.txt."""
    expected = {composed(name): images for name, images in read_people(path).items()}
    there = Counter(composed(source.path.split('/')[0]) for source in listing.sources)
    differs = {name: (expected.get(name, 0), there[name]) for name in sorted(expected.keys() | there.keys())
               if expected.get(name, 0) != there[name]}
    listing.files['people'] = path
    listing.facts['people'] = {'people': len(expected), 'images': sum(expected.values()),
                               'differs': [[name, *counts] for name, counts in differs.items()]}
    listing.notes.append(f"people: '{path}' names {len(expected)} people with {sum(expected.values())} images; the "
                         f'folder has {len(there)} with {there.total()}.')
    if differs:
        shown = first_few([f'{name} (expected {wanted}, found {found})' for name, (wanted, found) in differs.items()])
        listing.notes.append(f'people: {len(differs)} people differ: {shown}. Is the archive unpacked completely?')


def _take_pairs(listing: Listing, path: Path) -> None:
    named = read_named_pairs(path)
    keys = [source.key for source in listing.sources]
    wanted = list(dict.fromkeys(key for pair in named for key in (pair.left, pair.right)))
    found = {name: name if row is None else keys[row]
             for name, row in zip(wanted, find_images(wanted, keys, f"'{path}'"), strict=True)}
    listing.pairs = [pair._replace(left=found[pair.left], right=found[pair.right]) for pair in named]
    listing.files['pairs'] = path
    folds = len({pair.fold for pair in named})
    listing.facts['pairs'] = {'pairs': len(named), 'folds': folds}
    listing.notes.append(f"pairs: {len(named)} in {folds} folds, from '{path}'.")


def read_people(path: str | Path) -> dict[str, int]:
    """Name -> number of images, of a file in the layout of people.txt.

    It has the number of sets, then for each set its number of people and a line 'NAME images' for each; lfw-names.txt
    has only these lines.

    Raises:
        UserError: the file is missing or malformed.
    """
    lines = [lfw_words(line) for _, line in
             read_lines(path, "Expected a file in the layout of LFW's people.txt.")]
    try:
        people = {words[0]: int(words[1]) for words in lines if len(words) == 2}
        counts = [int(words[0]) for words in lines if len(words) == 1]
    except ValueError as error:
        raise _malformed(path, f"a line that is neither: {error}") from error
    if not people or any(len(words) > 2 for words in lines):
        raise _malformed(path, 'other lines')
    declared = sum(counts[1:]) if len(counts) > 1 else sum(counts)
    if counts and declared != len(people):
        raise UserError(f"'{path}' declares {declared} people and holds {len(people)}. Copy it again.")
    return people


def _malformed(path: str | Path, came: str) -> UserError:
    return UserError(f"'{path}' is not a people file: expected lines 'NAME IMAGES' and counts of them, got {came}.")
