"""From a record to something to read: the short report of a recipe, or tables, figures and pages of everything."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_text
from cface_basicsr.measuring.results import Faces, Results
from cface_basicsr.measuring.table import Table
from cface_basicsr.report.face_grid import face_grid, regions_of, shown_faces, write_grids
from cface_basicsr.report.figures import accuracy_figure, loss_figure, roc_and_det_figure
from cface_basicsr.report.latex import save_latex
from cface_basicsr.report.page import Page, html_report
from cface_basicsr.report.paper_tables import overview, paper_tables
from cface_basicsr.report.systems_table import domain_table, evaluation_table, systems_table
from cface_basicsr.report.verdicts import verdicts

_FIGURE_OF = {'lfw': 'fig7', 'celeba': 'fig8'}

Titled = list[tuple[str, Path]]
_T = TypeVar('_T')


def write_report(results: Results, folder: str | Path, out: str | Path | None = None, *, short: bool = False,
                 left_out: list[str] | None = None) -> list[Path]:
    """Write what a person reads of a record.

    Short: report.md, table.csv, and faces.png with a column per system. Else report.html (everything, in one file) and
    report.md; in tables/ the paper's Tables 1 to 5 as CSV, Markdown and LaTeX, the same next to the paper's numbers
    (`…_beside_published`), and an overview per scale; in figures/ losses, validation, ROC and DET, and the grids
    fig7a, fig7b (fig8a, fig8b), each with its scale.

    Args:
        folder: where the paths in the results begin.
        out: where to write; None: in the same folder.
        left_out: where it is given, a figure whose scores or faces are missing is left out, and the reason noted here.

    Returns:
        what was written.

    Raises:
        UserError: a score file or a face that the results name is missing.
    """
    folder = Path(folder)
    out = Path(folder if out is None else out)
    out.mkdir(parents=True, exist_ok=True)
    drawn = _Drawn(results, folder, out, left_out)
    return drawn.short() if short else drawn.whole()


def short_report(results: Results) -> str:
    """What a recipe prints: what was measured, the table, what may be said of it, and where it comes from."""
    facts, parts = results.facts, []
    for test in results.tests():
        scales = ', '.join(f'x{scale}' for scale in results.scales)
        parts += [f'Held-out identities: {test.identities}, {test.images} images; {test.pairs} pairs in '
                  f'{test.compared[0].settings["folds"]} folds, both sides super-resolved {scales}. ± is the deviation '
                  'over the folds; images G and R: how many went through the generator and the recognizer in training, '
                  'all steps.', systems_table(results, test).markdown()]
    parts += ['\n'.join(f'- {line}' for line in lines) for lines in verdicts(results).values()]
    if results.domains:
        parts += ['Do SR and HR share a domain (paper, section 3.4)? Means over the held-out images.',
                  domain_table(results).markdown()]
    data = ', '.join(test.sha256[:12] for test in results.tests())
    parts += [*facts.notes,
              f"Command: `{facts.command}`. Data {data}, torch {facts.versions['torch']}, {facts.device}."]
    return '\n\n'.join(part.rstrip() for part in parts) + '\n'


class _Drawn:
    """A report on its way to the disk."""

    def __init__(self, results: Results, folder: Path, out: Path, left_out: list[str] | None) -> None:
        self.results, self.folder, self.out, self.left_out = results, folder, out, left_out

    def short(self) -> list[Path]:
        """The short report of a recipe."""
        results, out = self.results, self.out
        texts = {out / 'report.md': short_report(results),
                 out / 'table.csv': systems_table(results, results.tests()[0]).csv()}
        for path, text in texts.items():
            write_text(path, text)
        pictures = [self._try(lambda faces=faces: self._picture(faces)) for faces in results.faces[:1]]
        return [*texts, *filter(None, pictures)]

    def _picture(self, faces: Faces) -> Path:
        """LR, the systems, and HR last."""
        columns = shown_faces(self.results, faces, self.results.scales[0], self.folder)
        columns = {title: column for title, column in columns.items() if title != 'HR'} | {'HR': columns['HR']}
        return face_grid(columns, self.out / 'faces.png')

    def whole(self) -> list[Path]:
        """All tables, figures and pages."""
        results, out = self.results, self.out
        overviews, tables = self._overviews(), paper_tables(results) if results.made_by != 'evaluate' else {}
        beside = paper_tables(results, beside_published=True) if results.show_published else {}
        written: list[Path] = []
        for stem, table in (tables | {f'{stem}_beside_published': each for stem, each in beside.items()}
                            | overviews).items():
            written += [*table.save(out / 'tables' / stem), save_latex(table, out / 'tables' / f'{stem}.tex')]
        (whole, zoomed), curves = self._grids(), self._curves()
        shown = results if whole or not results.faces else replace(results, faces=[])
        page = Page(shown, self.folder, verdicts(results), list(overviews.values()), list((tables | beside).values()),
                    curves, zoomed)
        write_text(out / 'report.html', html_report(page))
        write_text(out / 'report.md', _markdown(page, [*whole, *zoomed, *curves], out))
        return [*written, *(path for _, path in [*curves, *whole, *zoomed]), out / 'report.html', out / 'report.md']

    def _overviews(self) -> dict[str, Table]:
        """Stem of the file -> all systems in one table: for each scale, or as `cface evaluate` prints it."""
        if self.results.made_by == 'evaluate':
            table = evaluation_table(self.results)
            return {'systems': replace(table, below=()), **{f'rates_{number}': rates
                                                            for number, rates in enumerate(table.below, 1)}}
        found = {f'overview_x{scale}': overview(self.results, scale) for scale in self.results.scales}
        return found | ({'domains': domain_table(self.results)} if self.results.domains else {})

    def _curves(self) -> Titled:
        results, folder, found = self.results, self.out / 'figures', []
        for scale in results.scales:
            for test in results.tests():
                for name in results.facts.recognizers:
                    path = folder / f'roc_{_file_name(test.name)}_{_file_name(name)}_x{scale}.png'
                    found.append((f'ROC and DET on {test.name} by {name}, x{scale}', self._try(
                        lambda test=test, scale=scale, name=name, path=path: roc_and_det_figure(
                            results, self.folder, test, scale, name, path))))
            found.append((f'Validation during training, x{scale}',
                          accuracy_figure(results, scale, folder / f'validation_x{scale}.png')))
            found.append((f'Losses during training, x{scale}',
                          loss_figure(results, scale, folder / f'losses_x{scale}.png')))
        return [(title, path) for title, path in found if path is not None]

    def _grids(self) -> tuple[Titled, Titled]:
        """The grids of whole faces, and those of regions."""
        whole: Titled = []
        zoomed: Titled = []
        for faces in self.results.faces:
            for scale in self.results.scales:
                columns = self._try(lambda faces=faces, scale=scale: shown_faces(self.results, faces, scale,
                                                                                 self.folder))
                if columns and 'HR' in columns:
                    stem = self.out / 'figures' / f'{_figure_name(self.results, faces)}_x{scale}'
                    a, b = write_grids(columns, regions_of(faces), stem)
                    whole.append((f'Faces on {faces.test}, x{scale}', a))
                    zoomed.append((f'Details on {faces.test}, x{scale}', b))
        return whole, zoomed

    def _try(self, draw: Callable[[], _T]) -> _T | None:
        """What is drawn; None where what it is drawn from is missing, and that is allowed."""
        try:
            return draw()
        except UserError as error:
            if self.left_out is None:
                raise
            self.left_out.append(str(error))
            return None


def _file_name(name: str) -> str:
    return re.sub(r'[^\w.-]+', '_', name)


def _figure_name(results: Results, faces: Faces) -> str:
    like = next((test.like for test in results.tests() if test.name == faces.test), None)
    return _FIGURE_OF.get(like, f'faces_{_file_name(faces.test)}')


# ----------------------------------------------------------------------------------------------------------- Markdown

def _markdown(page: Page, figures: Titled, out: Path) -> str:
    """The report for a repository: pictures by their relative paths."""
    facts = page.results.facts
    budget = f'Budget: {facts.budget}. ' if facts.budget else ''
    parts = [f'# {page.results.title}', f'{budget}Command: `{facts.command}`. {facts.device}.',
             *(f'- {run.system} x{run.scale}, seed {run.seed}: **failed**, {run.reason}'
               for run in page.results.failed()), '## What may be said', *facts.notes,
             *('\n'.join([f'### {heading}', '', *(f'- {line}' for line in lines)])
               for heading, lines in page.verdicts.items()),
             '## Fairness checks', _checks(page.results), '## All systems', *_texts(page.overviews)]
    parts += ["## The paper's tables", *_texts(page.tables)] if page.tables else []
    parts += ['## Faces and curves'] if figures else []
    parts += [f'{title}:\n\n![{title}]({path.relative_to(out).as_posix()})' for title, path in figures]
    parts += ['## Where every number comes from', _trace(page.results)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _texts(tables: list[Table]) -> list[str]:
    return [table.markdown().rstrip() for table in tables]


def _checks(results: Results) -> str:
    if not results.facts.checks:
        return 'No check was made.'
    cells = [(check.what, check.outcome, check.evidence) for check in results.facts.checks]
    lines = [' | '.join(cell.replace('|', '\\|') for cell in line) for line in cells]
    return '\n'.join(['| what | outcome | evidence |', '| --- | --- | --- |', *(f'| {line} |' for line in lines)])


def _trace(results: Results) -> str:
    facts = results.facts
    lines = [f'- {data.role} data {data.name}: SHA-256 `{data.sha256}`, {data.identities} identities, {data.images} '
             f'images. {data.protocol}'.strip() for data in facts.data]
    lines += [f'- recognizer {name}: SHA-256 `{digest}`' for name, digest in facts.recognizers.items() if digest]
    seeds = f"; seeds {', '.join(map(str, facts.seeds))}" if facts.seeds else ''
    lines.append(f"- {', '.join(f'{name} {version}' for name, version in facts.versions.items())}{seeds}")
    return '\n'.join(lines)
