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
from cface_basicsr.report.page import TitledPaths, render
from cface_basicsr.report.tables import domain_table, evaluation_table, overview, paper_tables, systems_table
from cface_basicsr.report.verdicts import verdicts

_FIGURE_OF = {'lfw': 'fig7', 'celeba': 'fig8'}


def write_report(results: Results, folder: str | Path, out: str | Path | None = None, *,
                 short: bool = False) -> list[Path]:
    """Write what a person reads of a record; what is drawn from scores or faces that are missing is left out.

    Short: report.md, table.csv, and faces.png with one column per system. Otherwise report.html (everything, in one
    file) and report.md; in tables/ the paper's Tables 1 to 5 as CSV, Markdown and LaTeX, the same next to the paper's
    own numbers (`…_with_published`), and an overview of each scale; in figures/ losses, validation, ROC and DET, and
    the grids of faces fig7a and fig7b (fig8a and fig8b), each with its scale.

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
    """What a recipe prints, in Markdown: what was measured, the table, the verdicts, and where the numbers come from.
    """
    return render('short.md.j2', results=results, verdicts=verdicts(results))


def _write_short(results: Results, folder: Path, out: Path) -> list[Path]:
    texts = _write_texts({out / 'report.md': short_report(results),
                          out / 'table.csv': systems_table(results, results.tests()[0]).csv()})
    columns = shown_faces(results, results.faces[0], results.scales[0], folder) if results.faces else {}
    hr = columns.pop('HR', None)  # comes last
    return [*texts, *([face_grid({**columns, 'HR': hr}, out / 'faces.png')] if hr else [])]


def _write_whole(results: Results, folder: Path, out: Path) -> list[Path]:
    overviews = _overviews(results)
    tables = paper_tables(results) if results.made_by != 'evaluate' else {}
    published = paper_tables(results, with_published=True) if results.show_published else {}
    whole, zoomed = _grids(results, folder, out)
    curves = _curves(results, folder, out)
    page = {'results': results, 'folder': folder, 'verdicts': verdicts(results), 'overviews': list(overviews.values()),
            'tables': list((tables | published).values()), 'curves': curves, 'whole': whole, 'zoomed': zoomed}
    published = {f'{stem}_with_published': table for stem, table in published.items()}
    saved = [path for stem, table in (tables | published | overviews).items() for path in (
        *table.save(out / 'tables' / stem), save_latex(table, out / 'tables' / f'{stem}.tex'))]
    texts = _write_texts({out / 'report.html': render('page.html.j2', page=page),
                          out / 'report.md': render('report.md.j2', page=page, out=out)})
    return [*saved, *(path for _, path in [*curves, *whole, *zoomed]), *texts]


def _write_texts(texts: dict[Path, str]) -> list[Path]:
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _overviews(results: Results) -> dict[str, Table]:
    """Stem of the file -> all systems in one table: of each scale, or as `cface evaluate` prints it."""
    if results.made_by == 'evaluate':
        table = evaluation_table(results)
        rates = {f'rates_{number}': each for number, each in enumerate(table.below, 1)}
        return {'systems': replace(table, below=()), **rates}
    domains = {'domains': domain_table(results)} if results.domains else {}
    return {f'overview_x{scale}': overview(results, scale) for scale in results.scales} | domains


def _curves(results: Results, folder: Path, out: Path) -> TitledPaths:
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


def _grids(results: Results, folder: Path, out: Path) -> tuple[TitledPaths, TitledPaths]:
    """The grids of whole faces, and those of regions."""
    whole: TitledPaths = []
    zoomed: TitledPaths = []
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
