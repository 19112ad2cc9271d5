"""LFW's people.txt: the number of sets, then for each set its number of people and a line 'NAME images' for each.

lfw-names.txt has only these lines.
"""

from pathlib import Path

from cface_basicsr.errors import UserError
from cface_basicsr.files.named_pairs import lfw_words
from cface_basicsr.files.text_file import read_lines


def read_people(path: str | Path) -> dict[str, int]:
    """Name -> number of images, of a file in the layout of people.txt.

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
