"""The report of a recipe: what was measured, what may be said of it, and where every number comes from.

Each number can be traced: the report keeps the command, the hashes of data and weights, the seed and the versions.
"""

import json
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cface_basicsr.evaluation.significance import paired_test
from cface_basicsr.files.atomic import write_text
from cface_basicsr.files.network_file import file_hash
from cface_basicsr.measuring.recipe_rows import FAR, Faces, Measuring, Row
from cface_basicsr.measuring.table import Column, Table, verification_columns
from cface_basicsr.measuring.table import Row as TableRow
from cface_basicsr.runtime import Progress, describe_device
from cface_basicsr.training.recipe import Recipe
from cface_basicsr.training.recipe import Report as ReportOptions
from cface_basicsr.version import __version__

COLLAPSED = 1e-3
"""A mean distance between photos of different faces below this: the recognizer gives every face one feature."""


# -------------------------------------------------------------------------------------------------------- the verdict

def compare_rows(a: Row, b: Row, recognizer: str) -> str:
    """One plain sentence: does row a beat row b, and is the difference larger than chance over the folds?"""
    found = paired_test(a.per_fold[recognizer], b.per_fold[recognizer])
    verdict = {1: 'beats', 0: 'does not differ clearly from', -1: 'loses to'}[found.clear]
    return (f'{a.title} {verdict} {b.title} by {recognizer}: {100 * found.mean:+.1f} points '
            f'(standard error over the folds {100 * found.error:.1f}).')


def verdicts(rows: list[Row]) -> list[str]:
    """Every trained row against Bicubic, and the rows of C-Face against SRGAN, with each recognizer."""
    by_title = {row.title: row for row in rows}
    against = [(row, by_title['Bicubic']) for row in rows if row.weights]
    against += [(row, by_title['SRGAN']) for row in rows if 'SRGAN' in by_title and row.title.startswith('C-Face')]
    return [compare_rows(a, b, name) for a, b in against for name in a.per_fold]


# ------------------------------------------------------------------------------------------------------------ the text

@dataclass
class Result:
    """What was measured, and where it lies."""

    rows: list[Row]
    domains: dict[str, dict[str, float]]
    trace: dict[str, Any]
    folder: Path
    notes: list[str]

    def table(self) -> Table:
        """Systems by numbers."""
        columns = [*verification_columns(list(self.rows[0].per_fold), FAR),
                   Column('images', 'images G', 0, best=None), Column('recognizer_images', 'images R', 0, best=None)]
        rows = [TableRow(row.title, row.numbers, reference=row.title == 'HR') for row in self.rows]
        return Table('', columns, rows)

    def domain_table(self) -> Table:
        """Stages by mean distances."""
        columns = [Column('sr_hr', 'L_SI(SR, HR)', 3, best=None), Column('sr_compare', 'L_SI(SR, C)', 3, best=None),
                   Column('hr_compare', 'L_SI(HR, C)', 3, best=None)]
        return Table('', columns, [TableRow(title, values) for title, values in self.domains.items()])

    def as_markdown(self) -> str:
        """The whole report."""
        faces = self.trace['test']
        parts = [f"Held-out identities: {faces['identities']}, {faces['images']} images; {faces['pairs']} pairs in ten "
                 f"folds, both sides super-resolved x{self.trace['scale']}. ± is the deviation over the folds; "
                 'images G and R: how many went through the generator and the recognizer in training, all steps.',
                 self.table().markdown(), '\n'.join(f'- {line}' for line in verdicts(self.rows))]
        if self.domains:
            parts += ['Do SR and HR share a domain (paper, section 3.4)? Means over the held-out images; C is the '
                      'nearest other photo of the same person.', self.domain_table().markdown()]
        parts += self.notes
        parts.append(f"Command: `{self.trace['command']}`. Data {self.trace['data_sha256'][:12]}, "
                     f"torch {self.trace['torch']}, {self.trace['device']}.")
        return '\n\n'.join(parts) + '\n'

    def as_text(self) -> str:
        """For the terminal: the tables, and where the files are."""
        lines = [self.as_markdown(), f"Picture: {self.folder / 'faces.png'}",
                 f"Report:  {self.folder / 'report.md'}, report.json, table.csv"]
        return '\n'.join(lines)

    def as_json(self) -> str:
        """Everything, for programs."""
        return json.dumps({'rows': [asdict(row) for row in self.rows], 'domains': self.domains, 'trace': self.trace,
                           'notes': self.notes}, indent=1, allow_nan=False)

    def write(self) -> None:
        """report.md, report.json and table.csv in the folder."""
        write_text(self.folder / 'report.md', self.as_markdown())
        write_text(self.folder / 'report.json', self.as_json())
        write_text(self.folder / 'table.csv', self.table().csv())


def _trace(recipe: Recipe, faces: Faces) -> dict[str, Any]:
    manifest = recipe.test_folder / 'manifest.json'
    return {'command': ' '.join(['cface', *sys.argv[1:]]), 'recipe': recipe.file.model_dump(exclude_none=True),
            'scale': recipe.file.scale, 'data_sha256': file_hash(manifest, 64),
            'test': {'identities': len(set(faces.labels.tolist())), 'images': len(faces.keys),
                     'pairs': len(faces.pairs.same)},
            'recognizers': {name: file_hash(recipe.weights_of(who, 'r'), 64)
                            for name, who in recipe.file.report.recognizers.items()},
            'version': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            'device': describe_device()}


def write_report(measuring: Measuring, show: Progress, after: str | None = None) -> Result:
    """Measure the rows of a recipe; write report.md, report.json, table.csv and faces.png.

    Args:
        measuring: of a recipe whose steps have been run; what it has measured before is not measured again.
        show: progress.
        after: only the rows that are there after this step, into `<run>/after_<step>/`; None: all, into the run folder.
    """
    recipe = measuring.recipe
    options = _rows_after(recipe, after) if after else recipe.file.report
    folder = recipe.out / f'after_{after}' if after else recipe.out
    folder.mkdir(exist_ok=True)
    title = f'report after {after}' if after else 'report'
    show.start(title, len(options.rows) + 2)
    rows, domains = _measure_rows(measuring, options, show), _measure_domains(measuring, options)
    notes = [*options.notes, *measuring.notes(options.recognizers), *collapse_notes(domains)]
    result = Result(rows, domains, _trace(recipe, measuring.faces), folder, notes)
    measuring.picture(options, folder / 'faces.png')
    result.write()
    show.end(title, str(folder / 'report.md'))
    return result


def _measure_rows(measuring: Measuring, options: ReportOptions, show: Progress) -> list[Row]:
    rows = []
    for title, system in {'HR': 'HR', 'Bicubic': 'Bicubic', **options.rows}.items():
        rows.append(measuring.row(title, system, options.recognizers))
        show.advance(len(rows))
    return rows


def _measure_domains(measuring: Measuring, options: ReportOptions) -> dict[str, dict[str, float]]:
    compare_by = next(iter(options.recognizers.values()), None)
    return {title: measuring.distances(pair['generator'], pair['recognizer'], compare_by)
            for title, pair in options.domains.items()}


def collapse_notes(domains: dict[str, dict[str, float]]) -> list[str]:
    """A line for each stage whose recognizer gives all faces one feature: what it led says nothing."""
    return [f'**{title}: the recognizer has collapsed** (it gives all faces the same feature), so what was trained '
            'with it says nothing about the method. Lower its learning rate.'
            for title, values in domains.items() if values['hr_compare'] < COLLAPSED]


def _rows_after(recipe: Recipe, step: str) -> ReportOptions:
    """The report's options with only what the steps up to `step` have made."""
    names = list(recipe.file.steps)
    later = set(names[names.index(step) + 1:])
    report = recipe.file.report
    return report.model_copy(update={
        'rows': {title: who for title, who in report.rows.items() if who not in later},
        'domains': {title: pair for title, pair in report.domains.items() if not later & set(pair.values())}})
