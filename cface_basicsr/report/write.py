"""From a record to something to read: the short report of a recipe, or tables, figures and pages of everything."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

from cface_basicsr.files.atomic import write_text
from cface_basicsr.measuring.judging import judge_of
from cface_basicsr.measuring.results import Faces, Results
from cface_basicsr.measuring.table import Table
from cface_basicsr.report.face_grid import face_grid, regions_of, shown_faces, write_grids
from cface_basicsr.report.feature_map import compare_figure, map_figure, mapped_faces
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
    own numbers (`…_with_published`), and an overview of each scale; in figures/ losses, validation, ROC and DET, the
    distances and the map of features of fig3 and fig4, and the grids of faces fig7a and fig7b (fig8a and fig8b), each
    with its scale.

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
    maps, curves = _maps(results, folder, out), _curves(results, folder, out)
    page = {'results': results, 'folder': folder, 'verdicts': verdicts(results), 'overviews': list(overviews.values()),
            'tables': list((tables | published).values()), 'curves': curves, 'whole': whole, 'zoomed': zoomed,
            'maps': maps}
    published = {f'{stem}_with_published': table for stem, table in published.items()}
    saved = [path for stem, table in (tables | published | overviews).items() for path in (
        *table.save(out / 'tables' / stem), save_latex(table, out / 'tables' / f'{stem}.tex'))]
    texts = _write_texts({out / 'report.html': render('page.html.j2', page=page),
                          out / 'report.md': render('report.md.j2', page=page, out=out)})
    return [*saved, *(path for _, path in [*curves, *whole, *zoomed, *maps]), *texts]


def write_curves(results: Results, out: str | Path) -> list[Path]:
    """Write report.html with the curves of trainings that nobody has measured; returns what was written."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    curves = _training_curves(results, None, out / 'figures')
    page = {'results': results, 'folder': out, 'verdicts': {}, 'overviews': [], 'tables': [], 'curves': curves,
            'whole': [], 'zoomed': [], 'maps': []}
    return [*(path for _, path in curves), *_write_texts({out / 'report.html': render('page.html.j2', page=page)})]


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
        found += _training_curves(results, scale, figures)
    return _drawn(found)


def _training_curves(results: Results, scale: int | None, figures: Path) -> TitledPaths:
    at, end = ('', '') if scale is None else (f', x{scale}', f'_x{scale}')
    return _drawn([
        (f'Validation during training{at}', accuracy_figure(results, scale, figures / f'validation{end}.png')),
        (f'Losses during training{at}', loss_figure(results, scale, figures / f'losses{end}.png'))])


def _drawn(found: Iterable[tuple[str, Path | None]]) -> TitledPaths:
    return [(title, path) for title, path in found if path is not None]


def _maps(results: Results, folder: Path, out: Path) -> TitledPaths:
    """The paper's Figs. 3 and 4, of each test set that shows faces."""
    found: list[tuple[str, Path | None]] = []
    for shown, scale in product(results.faces, results.scales):
        test = next((each for each in results.tests() if each.name == shown.test), None)
        faces = mapped_faces(results, folder, test, scale) if test else None
        if faces:
            of = f'on {test.name}, x{scale}, by {judge_of(results)}'
            stem = out / 'figures' / f'{{}}_{_file_name(test.name)}_x{scale}.png'
            for title, name, figure in (
                    ('Distances of one person\'s faces', 'fig3', partial(compare_figure, results, faces, shown, scale,
                                                                        folder)),
                    ('Features by person', 'fig4', partial(map_figure, faces))):
                found.append((f'{title} {of}', figure(f'{title} {of}', Path(str(stem).format(name)))))
    return _drawn(found)


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
