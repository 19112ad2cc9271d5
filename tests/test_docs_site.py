"""The site of the pages: its menu has each page, and on it links lead where they led in the repository."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_docs import PAGES, ROOT, maker, text_of

hooks = maker('site_hooks')
SITE = yaml.safe_load(text_of(ROOT / 'mkdocs.yml'))


def pages_of(entry: Any) -> Iterator[str]:
    """The pages of a part of the menu."""
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(part)


def test_the_menu_has_every_page_once() -> None:
    listed = list(pages_of(SITE['nav']))
    assert sorted(listed) == sorted([*map(hooks.place, PAGES), hooks.REFERENCE])
    assert listed[0] == 'index.md'


def test_each_link_on_the_site_leads_to_a_page_or_a_picture_of_it() -> None:
    there = {hooks.place(path) for path in (*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.*'))} - {None}
    assert 'faces.png' in there and 'make_options.py' not in there
    for page in PAGES:
        found = re.findall(r'\]\(([^)\s]+)\)', hooks.site_text(text_of(page), page))
        for target in (each.partition('#')[0] for each in found if not each.startswith(('https://', '#'))):
            assert posixpath.normpath(posixpath.join(posixpath.dirname(hooks.place(page)), target)) in there, page


@pytest.mark.parametrize(('source', 'text', 'expected'), [
    ('README.md', '[a](docs/data.md#x) ![b](docs/faces.png)', '[a](data.md#x) ![b](faces.png)'),
    ('docs/photos.md', '[its card](../cface_basicsr/enhancing/x.md), [a](../README.md#install)',
     'its card, [a](index.md#install)'),
    ('docs/results/photographs/README.md', '[a](x8/report.md) [b](../../train.md) [c](https://x.org) [d](#here)',
     '[a](x8/report.md) [b](../../train.md) [c](https://x.org) [d](#here)')])
def test_links_are_moved_with_their_pages_and_those_out_of_the_site_become_text(
        source: str, text: str, expected: str) -> None:
    assert hooks.site_text(text, ROOT / source) == expected


def test_what_belongs_to_a_numbered_item_is_indented_as_mkdocs_wants_it() -> None:
    text = '    code\n\n1. one\n   more\n\n       code in it\n\n2. two\n\nText.\n\n    code'
    assert hooks.site_text(text, ROOT / 'README.md') == (
        '    code\n\n1. one\n    more\n\n        code in it\n\n2. two\n\nText.\n\n    code')


def test_the_page_of_docstrings_names_modules_that_are_there() -> None:
    named = re.findall(r'^::: (\S+)', hooks.top_pages()[hooks.REFERENCE], re.M)
    assert 'cface_basicsr.losses.cface_loss' in named
    assert all((ROOT / f'{name.replace(".", "/")}.py').is_file() for name in named)


def test_the_site_is_strict_and_fetches_nothing() -> None:
    assert SITE['strict'] is True and SITE['theme']['font'] is False
    assert not {'extra_javascript', 'extra_css'} & set(SITE)


def words_between_backticks(page: Path) -> list[str]:
    return [found for line in text_of(page).splitlines() if line.startswith('| `') for found in re.findall(
        r'^\| `([^`]+)`', line)]


def test_each_message_that_troubleshooting_explains_is_one_of_the_code() -> None:
    code = ' '.join(text_of(path) for path in (ROOT / 'cface_basicsr').rglob('*.py'))
    code = re.sub(r"'\s*\n\s*f?'|\"\s*\n\s*f?\"|'\s*\n\s*f?\"|\"\s*\n\s*f?'", '', code)
    theirs = ("No module named 'torchvision", 'unrecognized arguments', 'libGL.so.1', "KeyError: '__version__'",
              'CUDA out of memory')
    asked = [message for message in words_between_backticks(ROOT / 'docs/troubleshooting.md')
             if not message.startswith(theirs)]
    assert len(asked) > 10
    assert [message for message in asked if message not in code] == []
