"""Finished rows in a folder of their own, such as a committed one, so that a later start need not train them again.

A row is one cell of an experiment: a system at a scale with a seed. Its file holds its numbers, another one the
scores of its pairs; networks stay in the run folder, which may be gone by then. A row counts only if all that decides
its numbers is the same: the options of its trainings, the stores, the recognizers, what is compared.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from cface_basicsr.benchmark.collect import Measuring
from cface_basicsr.benchmark.plan import PlannedRow, PlannedRun
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import replacing, write_json
from cface_basicsr.files.json_file import read_json
from cface_basicsr.files.manifest import manifest_hash, read_manifest
from cface_basicsr.measuring.results import Run, step_name
from cface_basicsr.training.recipe import Recipe

_RUN = TypeAdapter(Run)


class KeptRows:
    """The rows of a folder, taken into a benchmark and added to by it."""

    def __init__(self, folder: Path, measuring: Mapping[int, Measuring]) -> None:
        """Take all rows that are there.

        Args:
            folder: of `x<scale>_<row>_seed<seed>.json` and the scores next to it; made when a row is finished.
            measuring: scale -> what measures its rows.

        Raises:
            UserError: a file is not such a row, or was made with other options, data or recognizers; or the benchmark
                shows a grid of faces, whose pictures are not kept.
        """
        if any(test.shown for measures in measuring.values() for test in measures.tests):
            raise UserError('--rows keeps numbers, not pictures: set `faces: 0` for each test set of the file.')
        self.folder, self.measuring = folder, measuring
        self.out = next(iter(measuring.values())).plan.out
        for planned in next(iter(measuring.values())).plan.runs:
            for row in planned.rows:
                if self._file(planned, row).is_file():
                    planned.known[row.title] = self._read(planned, row)

    def without_known(self, planned: PlannedRun) -> Recipe:
        """The recipe of a run with only the steps that rows need which are not there yet."""
        return planned.recipe.with_only({step for row in planned.rows if row.title not in planned.known
                                         for step in row.steps})

    def all_known(self) -> bool:
        """Whether no row needs a training any more."""
        runs = next(iter(self.measuring.values())).plan.runs
        return all(row.title in run.known for run in runs for row in run.rows)

    def measure(self, planned: PlannedRun, step: str) -> None:
        """Measure and keep the rows that a finished step gives."""
        for row in planned.rows:
            if row.step == step and row.title not in planned.known:
                run = self.measuring[planned.scale].row(planned, row)
                if run.status == 'done':
                    self._keep(planned, row, run)

    # ---------------------------------------------------------------------------------------------------------- files

    def _file(self, planned: PlannedRun, row: PlannedRow) -> Path:
        return self.folder / f'x{planned.scale}_{step_name(row.title)}_seed{planned.seed}.json'

    def _read(self, planned: PlannedRun, row: PlannedRow) -> Run:
        path = self._file(planned, row)
        no_row = 'It is not a row that `cface benchmark --rows` kept. Remove it.'
        content = read_json(path, advice=no_row)
        try:
            run, before = _RUN.validate_python(content['run']), content['of']
        except (ValueError, LookupError) as error:
            raise UserError(f"'{path}': {no_row}") from error
        for key, now in self._facts(planned, row).items():
            if before.get(key) != now:
                raise UserError(f"'{path}' was made with other {key}. Name another folder of rows, or remove the file.")
        for measured in run.measured.values():
            self._copy(self.folder / Path(measured.scores).name, self.out / measured.scores)
        return run

    def _keep(self, planned: PlannedRun, row: PlannedRow, run: Run) -> None:
        for measured in run.measured.values():
            self._copy(self.out / measured.scores, self.folder / Path(measured.scores).name)
        content = json.loads(_RUN.dump_json(run)) | {'faces': {}}  # pictures stay in the run folder
        write_json(self._file(planned, row), {'of': self._facts(planned, row), 'run': content})

    def _copy(self, source: Path, target: Path) -> None:
        if not source.is_file():
            raise UserError(f"'{source}' is missing: the scores of a row in '{self.folder}'. Remove the row's file.")
        with replacing(target) as aside:
            shutil.copyfile(source, aside)

    def _facts(self, planned: PlannedRun, row: PlannedRow) -> dict[str, str]:
        """What decides the numbers of a row, as hashes; a difference can then be named."""
        measuring, recipe = self.measuring[planned.scale], planned.recipe
        return {'options': trainings_hash(recipe, row, measuring.plan.recognizers),
                'training data': _hash(_stores(recipe.train_folder)), **{
            key: _hash([value(test) for test in measuring.tests]) for key, value in {
                'test data': lambda test: _stores(test.faces.folder),
                'recognizers': lambda test: {name: each.sha256 for name, each in test.recognizers.items()},
                **({'perceptual networks': lambda test: [look.facts for look in test.looks.values()]}
                   if measuring.plan.file.perceptual else {}),
                'pairs': lambda test: [test.name, test.options.model_dump(exclude={'like', 'data', 'pairs', 'blufr'}),
                                       *(each.compared.sha256 for each in test.protocols)],
            }.items()}}


def trainings_hash(recipe: Recipe, row: PlannedRow, recognizers: Recipe | None) -> str:
    """A hash of the options of all trainings of a row, and of those of the recognizers."""
    trainings = [_portable(recipe.compose(name)) for name in row.steps if name in recipe.trainings]
    trainings += [_portable(recognizers.compose(name)) for name in recognizers.trainings] if recognizers else []
    return _hash(trainings)


def _stores(folder: Path) -> Any:
    """The hashes of a prepared folder's stores, which do not depend on where it lies."""
    return read_manifest(folder).get('sha256') or manifest_hash(folder)


def _portable(options: Any) -> Any:
    """Options without the folders of one machine: a path is only its last part, and what is read first is left out.

    A store of stage 2 is named after the generator, which may be gone; the options of its training are there.
    """
    if isinstance(options, Mapping):
        return {key: _portable(value) for key, value in options.items() if key != 'path'}
    if isinstance(options, list | tuple):
        return [_portable(value) for value in options]
    if not (isinstance(options, str) and '/' in options):
        return options
    return re.sub(r'^(sr_x\d+)_.+', r'\1', Path(options).name)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
