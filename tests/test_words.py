"""Plain English: habits that a native reader stumbles over are in no docstring, comment, message, help text or page."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'cface_basicsr'
_EACH = ('system|command|row|image|identity|person|class|fold|layer|channel|scale|seed|pair|stage|step|process|GPU|'
         'core|epoch|file|folder|page|figure|batch|face|trial|query|line|record|room|thing|defect')
_JOINING = 'where|when|if|that|in|on|of|at|to|by|from|into|with|after|for|as|is|has|gives|than|and|or|per'


class Habit(NamedTuple):
    """A pattern, what to write instead, and a phrase of either kind."""

    pattern: str
    reason: str
    wrong: str
    right: str


HABITS = {
    'is no': Habit(
        r'(?<!there )(?<!There )\b(?:is|are|was|were|be|being) no (?!\w+er\b|more\b|less\b|one\b)\w+'
        r'|\bor no (?:\w+ )?(?:file|text|network)\b',
        '"is not a network": English negates the verb.', 'the file is no network', 'there is no network'),
    'so many': Habit(
        r'\bso (?:many|few)\b(?! (?:\w+ [^.;:]{0,60})?that\b)', '"that number of" or "N": "so many" is an exclamation.',
        'then so many lines', 'so many pairs are alike that it fails'),
    'stands': Habit(
        r'\bstands?\b(?!-| out\b| for\b| in for\b)', '"is": text does not stand anywhere; a stand-in may.',
        'it stands in the manifest', 'a silent stand-in'),
    'beside': Habit(
        r'\bbeside\b', '"next to", or "besides".', 'the text beside the file', 'besides the file'),
    'behind': Habit(
        r'\b(?:pairs|images|counts|numbers|probes|what is) behind\b'
        r'|\bbehind (?:it|them|these|those|one layer|each trial|the (?:numbers?|rates?|latter|difference|last))\b',
        '"after" in an order; "that it comes from" of a number.', 'the pairs behind it', 'the file behind -opt'),
    'alone': Habit(
        r'(?<!-)\balone\b', '"only", or "by itself".', 'by the record alone', 'leave the others alone'),
    'one a': Habit(
        rf'\b(?:one|an?|two|three) (?!(?:{_JOINING})\b)\w+ an? (?:{_EACH})\b', '"one line per system".',
        'a line a system', 'one line per system'),
    'mend': Habit(
        r'\bmend(?:s|ed|ing|ings)?\b', '"patch" at run time, "repair" on disk.', 'mends BasicSR', 'recommended'),
    'eats': Habit(
        r'\beat(?:s|en|ing)?\b', 'A recognizer takes an input, described by its record.', 'what it eats',
        'it beats SRGAN'),
    'witness': Habit(
        r'\bwitness(?:es)?\b|\bunseen recognizers?\b', '"judge": a recognizer that no loss has met.',
        'the witness', 'the judge'),
    'looked at': Habit(
        r'\b(?:is|are|was|were|be|been|not|never) looked at\b', '"checked", "read" or "compared": say what is done.',
        'it is not looked at', 'the face looked sideways at the camera'),
    'by itself': Habit(
        r'\bsays? (?:by )?itself\b', '"says which network it holds": a file cannot say it otherwise.',
        'it says by itself what it is', 'it says what it is'),
    'faces': Habit(
        r'\b(?:generated|parametric|drawn) faces?\b', '"synthetic faces": one word for one thing.',
        'on generated faces', 'cface_basicsr/data/generated_faces'),
    'held still': Habit(
        r'\b(?:held|holds?) still\b', '"frozen": the word of the field.', 'the recognizer is held still', 'frozen'),
    'be had': Habit(
        r'\bbe had\b', '"is missing", "is not available".', 'the weights cannot be had', 'the weights are missing'),
    'no such': Habit(
        r'\b[Tt]here (?:is|was) no such\b', '"is unknown" of a name, "is missing" of a file.',
        'there is no such network', 'the network is unknown'),
    'whoever': Habit(
        r'\b[Ww]hoever\b', '"those who", "if you".', 'for whoever wants it', 'for those who want it'),
}
ALLOWED = re.compile(r'\b(?:leav\w+|left|let)\b[^.;:]{0,60}?\balone\b')
"""To leave something alone is English."""


def phrases(text: str, habit: Habit) -> list[str]:
    """Where a text has the habit. Code between backticks does not count."""
    text = ALLOWED.sub('', re.sub(r'`[^`]*`', '``', text))
    return [text[max(0, found.start() - 30):found.end() + 30].replace('\n', ' ')
            for found in re.finditer(habit.pattern, text)]


def texts_of(path: Path) -> Iterator[str]:
    """The comments of a module, and its strings of several words: docstrings, messages, help."""
    source = path.read_text(encoding='utf-8')
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and ' ' in node.value:
            yield node.value


def rooms() -> dict[str, list[Path]]:
    """Room -> its modules; 'pages' are the documents."""
    found: dict[str, list[Path]] = {'pages': sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md')])}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).parts
        found.setdefault(parts[0] if len(parts) > 1 else 'root', []).append(path)
    return found


ROOMS = rooms()


@pytest.mark.parametrize('name', HABITS)
def test_a_habit_is_found_where_it_is_and_nowhere_else(name: str) -> None:
    habit = HABITS[name]
    assert phrases(habit.wrong, habit) and not phrases(habit.right, habit)


@pytest.mark.parametrize('room', ROOMS)
def test_no_room_has_a_habit_that_a_native_reader_stumbles_over(room: str) -> None:
    found = []
    for path in ROOMS[room]:
        texts = [path.read_text(encoding='utf-8')] if path.suffix == '.md' else texts_of(path)
        found += [f'{path.relative_to(ROOT)}: …{phrase}… {habit.reason}' for text in texts
                  for habit in HABITS.values() for phrase in phrases(text, habit)]
    assert not found, '\n'.join(found)
