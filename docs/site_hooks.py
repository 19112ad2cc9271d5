"""The hooks of mkdocs.yml: the pages at the top of the repository join those of docs/, and links lead to each other.

The pages are written for readers of the repository. On the site README.md is the first page, a link to a file that is
not on the site becomes its text, and a page is added that mkdocstrings fills from the docstrings.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
REFERENCE = 'reference.md'
ROOMS = ('losses', 'ops', 'archs', 'evaluation', 'recognizers', 'enhancing', 'zoo', 'metrics')
"""The rooms of the library that the page of docstrings shows."""


def place(path: Path) -> str | None:
    """Where a file of the repository is on the site; None if it is not there."""
    if path.parent == ROOT and path.suffix == '.md':
        return 'index.md' if path.name == 'README.md' else path.name
    if path.is_relative_to(DOCS) and path.suffix != '.py':
        return path.relative_to(DOCS).as_posix()
    return None


def site_text(text: str, source: Path) -> str:
    """The text of a page with links that hold on the site.

    Args:
        source: the page's file in the repository.
    """
    def moved(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        if target.startswith(('https://', '#')):
            return found[0]
        path, mark_of_anchor, anchor = target.partition('#')
        there = place((source.parent / path).resolve())
        if there is None:
            return label
        return f'{mark}[{label}]({posixpath.relpath(there, posixpath.dirname(place(source)) or ".")}' \
               f'{mark_of_anchor}{anchor})'
    return _wider_lists(re.sub(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)', moved, text))


def _wider_lists(text: str) -> str:
    """What belongs to a numbered item is indented by three spaces in the repository; mkdocs wants four."""
    lines, inside = [], False
    for line in text.split('\n'):
        inside = bool(re.match(r'\d+\. ', line)) or (inside and (not line or line[0] == ' '))
        lines.append(f' {line}' if inside and line.startswith('   ') else line)
    return '\n'.join(lines)


def top_pages() -> dict[str, str]:
    """Place on the site -> text, of the pages at the top of the repository and of the page of docstrings."""
    pages = {place(path): site_text(path.read_text(encoding='utf-8'), path) for path in sorted(ROOT.glob('*.md'))}
    modules = sorted(path for room in ROOMS for path in (ROOT / 'cface_basicsr' / room).glob('[!_]*.py'))
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts) for path in modules]
    return pages | {REFERENCE: '# Reference\n\n' + '\n\n'.join(f'::: {name}' for name in names) + '\n'}


def on_files(files: Any, config: Any) -> Any:
    """mkdocs asks for the pages."""
    from mkdocs.structure.files import File
    for name, text in top_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """mkdocs has read a page; those at the top are done already."""
    return markdown if page.file.generated_by else site_text(markdown, DOCS / page.file.src_uri)
