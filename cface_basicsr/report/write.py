"""The report of a finished benchmark: tables, curves, grids, a Markdown page and one HTML page."""

from pathlib import Path

from cface_basicsr.files.atomic import write_text
from cface_basicsr.measuring.results import Faces, Results
from cface_basicsr.measuring.table import Table
from cface_basicsr.report.figures import accuracy_figure, loss_figure, roc_and_det_figure
from cface_basicsr.report.latex import save_latex
from cface_basicsr.report.page import Page, html_report
from cface_basicsr.report.paper_tables import overview, paper_tables
from cface_basicsr.report.verdicts import reading
from cface_basicsr.report.zoomed_grid import regions_of, shown_faces, write_grids

_FIGURE_OF = {'lfw': 'fig7', 'celeba': 'fig8'}

Titled = list[tuple[str, Path]]


def write_benchmark_report(results: Results, out: str | Path) -> list[Path]:
    """Write all that a person reads of a benchmark.

    Into `out`: results.json, report.html (everything, in one file), report.md. Into `out`/tables: table1 to table5 as
    CSV, Markdown, LaTeX and JSON, the same beside the paper's numbers (`…_beside_published`), overview_x<scale>. Into
    `out`/figures: losses, validation, ROC and DET, the grids fig7a, fig7b (and fig8a, fig8b), each with its scale.

    Args:
        results: paths in it are relative to `out`.
        out: the folder.

    Returns:
        what was written.

    Raises:
        UserError: a score file or a face that the results name is missing, or a number is NaN.
    """
    out = Path(out)
    written = [results.save(out)]
    tables = paper_tables(results)
    beside = paper_tables(results, beside_published=True) if results.show_published else {}
    overviews = {f'overview_x{scale}': overview(results, scale) for scale in results.scales}
    named = tables | {f'{stem}_beside_published': table for stem, table in beside.items()} | overviews
    for stem, table in named.items():
        written += [*table.save(out / 'tables' / stem), save_latex(table, out / 'tables' / f'{stem}.tex')]
    (whole, zoomed), curves = _grids(results, out), _curves(results, out)
    shown = list((tables | beside).values())
    page = Page(results, out, reading(results), list(overviews.values()), shown, curves, zoomed)
    write_text(out / 'report.html', html_report(page))
    write_text(out / 'report.md', _markdown(page, [*whole, *zoomed, *curves]))
    return [*written, *(path for _, path in [*curves, *whole, *zoomed]), out / 'report.html', out / 'report.md']


def _curves(results: Results, out: Path) -> Titled:
    folder, found = out / 'figures', []
    for scale in results.scales:
        for test in results.tests():
            for name in results.facts.recognizers:
                path = folder / f'roc_{test.name}_{name}_x{scale}.png'
                found.append((f'ROC and DET on {test.name} by {name}, x{scale}',
                              roc_and_det_figure(results, out, test, scale, name, path)))
        found.append((f'Validation during training, x{scale}',
                      accuracy_figure(results, scale, folder / f'validation_x{scale}.png')))
        found.append((f'Losses during training, x{scale}',
                      loss_figure(results, scale, folder / f'losses_x{scale}.png')))
    return [(title, path) for title, path in found if path is not None]


def _grids(results: Results, out: Path) -> tuple[Titled, Titled]:
    """The grids of whole faces, and those of regions."""
    whole: Titled = []
    zoomed: Titled = []
    for faces in results.faces:
        for scale in results.scales:
            columns = shown_faces(results, faces, scale, out)
            if 'HR' in columns:
                stem = out / 'figures' / f'{_figure_name(results, faces)}_x{scale}'
                a, b = write_grids(columns, regions_of(faces), stem)
                whole.append((f'Faces on {faces.test}, x{scale}', a))
                zoomed.append((f'Details on {faces.test}, x{scale}', b))
    return whole, zoomed


def _figure_name(results: Results, faces: Faces) -> str:
    like = next((test.like for test in results.tests() if test.name == faces.test), None)
    return _FIGURE_OF.get(like, f'faces_{faces.test}')


def _markdown(page: Page, figures: Titled) -> str:
    """The report for a repository: pictures by their relative paths."""
    facts = page.results.facts
    parts = [f'# {page.results.title}', f'Budget: {facts.budget}. Command: `{facts.command}`. {facts.device}.',
             *(f'- {run.system} x{run.scale}, seed {run.seed}: **failed**, {run.reason}'
               for run in page.results.failed()), '## What may be said', *facts.notes,
             *('\n'.join([f'### {heading}', '', *(f'- {line}' for line in lines)])
               for heading, lines in page.reading.items()),
             '## Fairness checks', _checks(page.results), '## All systems', *_texts(page.overviews),
             "## The paper's tables", *_texts(page.tables), '## Faces and curves']
    parts += [f'{title}:\n\n![{title}]({path.relative_to(page.folder).as_posix()})' for title, path in figures]
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
    lines += [f'- recognizer {name}: SHA-256 `{digest}`' for name, digest in facts.recognizers.items()]
    lines.append(f"- {', '.join(f'{name} {version}' for name, version in facts.versions.items())}; "
                 f"seeds {', '.join(map(str, facts.seeds))}")
    return '\n'.join(lines)
