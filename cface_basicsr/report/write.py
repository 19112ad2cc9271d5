"""From a record to something to read: the short report of a recipe, or tables, figures and pages of everything."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

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


def write_report(results: Results, folder: str | Path, out: str | Path | None = None, *,
                 short: bool = False) -> list[Path]:
    """Write what a person reads of a record; what is drawn from scores or faces that are not there is left out.

    Short: report.md, table.csv, and faces.png with a column per system. Else report.html (everything, in one file) and
    report.md; in tables/ the paper's Tables 1 to 5 as CSV, Markdown and LaTeX, the same next to the paper's numbers
    (`…_beside_published`), and an overview per scale; in figures/ losses, validation, ROC and DET, and the grids
    fig7a, fig7b (fig8a, fig8b), each with its scale.

    Args:
        folder: where the paths in the results begin.
        out: where to write; None: in the same folder.

    Returns:
        what was written.
    """
    folder, out = Path(folder), Path(out or folder)
    out.mkdir(parents=True, exist_ok=True)
    return (_write_short if short else _write_whole)(results, folder, out)


def short_report(results: Results) -> str:
    """What a recipe prints: what was measured, the table, what may be said of it, and where it comes from."""
    facts, parts = results.facts, []
    for test in results.tests():
        parts += [f'Held-out identities: {test.identities}, {test.images} images; {test.pairs} pairs in '
                  f'{test.compared[0].settings["folds"]} folds, both sides super-resolved x{results.scales[0]}. ± is '
                  'the deviation over the folds; images G and R: how many went through the generator and the '
                  'recognizer in training, all steps.', systems_table(results, test).markdown()]
    parts += ['\n'.join(f'- {line}' for line in lines) for lines in verdicts(results).values()]
    if results.domains:
        parts += ['Do SR and HR share a domain (paper, section 3.4)? Means over the held-out images.',
                  domain_table(results).markdown()]
    data = ', '.join(test.sha256[:12] for test in results.tests())
    parts += [*facts.notes,
              f"Command: `{facts.command}`. Data {data}, torch {facts.versions['torch']}, {facts.device}."]
    return '\n\n'.join(part.rstrip() for part in parts) + '\n'


def _write_short(results: Results, folder: Path, out: Path) -> list[Path]:
    texts = {out / 'report.md': short_report(results),
             out / 'table.csv': systems_table(results, results.tests()[0]).csv()}
    for path, text in texts.items():
        write_text(path, text)
    columns = shown_faces(results, results.faces[0], results.scales[0], folder) if results.faces else {}
    hr = columns.pop('HR', None)  # comes last
    return [*texts, *([face_grid({**columns, 'HR': hr}, out / 'faces.png')] if hr else [])]


def _write_whole(results: Results, folder: Path, out: Path) -> list[Path]:
    overviews, tables = _overviews(results), paper_tables(results) if results.made_by != 'evaluate' else {}
    beside = paper_tables(results, beside_published=True) if results.show_published else {}
    beside = {f'{stem}_beside_published': table for stem, table in beside.items()}
    written: list[Path] = []
    for stem, table in (tables | beside | overviews).items():
        written += [*table.save(out / 'tables' / stem), save_latex(table, out / 'tables' / f'{stem}.tex')]
    (whole, zoomed), curves = _grids(results, folder, out), _curves(results, folder, out)
    page = Page(results, folder, verdicts(results), list(overviews.values()), list((tables | beside).values()), curves,
                zoomed)
    texts = {out / 'report.html': html_report(page),
             out / 'report.md': _markdown(page, [*whole, *zoomed, *curves], out)}
    for path, text in texts.items():
        write_text(path, text)
    return [*written, *(path for _, path in [*curves, *whole, *zoomed]), *texts]


def _overviews(results: Results) -> dict[str, Table]:
    """Stem of the file -> all systems in one table: for each scale, or as `cface evaluate` prints it."""
    if results.made_by == 'evaluate':
        table = evaluation_table(results)
        rates = {f'rates_{number}': each for number, each in enumerate(table.below, 1)}
        return {'systems': replace(table, below=()), **rates}
    domains = {'domains': domain_table(results)} if results.domains else {}
    return {f'overview_x{scale}': overview(results, scale) for scale in results.scales} | domains


def _curves(results: Results, folder: Path, out: Path) -> Titled:
    figures, found = out / 'figures', []
    for scale in results.scales:
        for test, name in product(results.tests(), results.facts.recognizers):
            path = figures / f'roc_{_file_name(test.name)}_{_file_name(name)}_x{scale}.png'
            found.append((f'ROC and DET on {test.name} by {name}, x{scale}',
                          roc_and_det_figure(results, folder, test, scale, name, path)))
        found += [(f'Validation during training, x{scale}',
                   accuracy_figure(results, scale, figures / f'validation_x{scale}.png')),
                  (f'Losses during training, x{scale}', loss_figure(results, scale, figures / f'losses_x{scale}.png'))]
    return [(title, path) for title, path in found if path is not None]


def _grids(results: Results, folder: Path, out: Path) -> tuple[Titled, Titled]:
    """The grids of whole faces, and those of regions."""
    whole: Titled = []
    zoomed: Titled = []
    for faces, scale in product(results.faces, results.scales):
        columns = shown_faces(results, faces, scale, folder)
        if 'HR' in columns:
            a, b = write_grids(columns, regions_of(faces), out / 'figures' / f'{_figure_name(results, faces)}_x{scale}')
            whole.append((f'Faces on {faces.test}, x{scale}', a))
            zoomed.append((f'Details on {faces.test}, x{scale}', b))
    return whole, zoomed


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
