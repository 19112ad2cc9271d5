"""A whole benchmark: recognizers, every system at every scale with every seed, measuring, report.

Trainings run by `benchmark.steps`: a finished one is skipped, a killed one continued, one of other options refused. A
training that fails costs its rows alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cface_basicsr.benchmark.collect import collect, folder_of_test
from cface_basicsr.benchmark.eta import Eta
from cface_basicsr.benchmark.file import BenchmarkFile
from cface_basicsr.benchmark.plan import Plan, make_plan, out_folder
from cface_basicsr.benchmark.throughput import Rates, find_rates, images_of, kept_rates, seconds_of, trainings
from cface_basicsr.errors import UserError
from cface_basicsr.files.atomic import write_json
from cface_basicsr.files.identities import read_identities
from cface_basicsr.measuring.faces import check_stores
from cface_basicsr.measuring.protocols import protocols_of
from cface_basicsr.measuring.results import Results
from cface_basicsr.report.write import write_report
from cface_basicsr.runtime import Progress
from cface_basicsr.training.steps import exclusive_run, need_data, refuse_other_runs, run_steps

BUDGET = 'budget.json'
_REFERENCE = 10_000_000
"""Images of a plan that only serves to see how the time of a row divides among its phases."""


@dataclass
class Finished:
    """A benchmark that has been run.

    Attributes:
        files: of the report.
        failed: title, scale and seed -> reason.
        broken: fairness checks that do not hold.
    """

    results: Results
    files: list[Path]
    failed: dict[str, str]
    broken: list[str]

    @property
    def code(self) -> int:
        """Exit code: 0, or 1 where a row failed or a fairness check does not hold."""
        return int(bool(self.failed or self.broken))


def plan_benchmark(file: BenchmarkFile, out: Path | None, rates: Path | None, show: Progress) -> Plan:
    """The plan of a file; a budget in minutes becomes images by measured rates, once for a run folder.

    Raises:
        UserError: minutes, and a rate that could not be measured.
    """
    if file.budget.images:
        return make_plan(file, out, file.budget.images)
    kept = out_folder(file, out) / BUDGET
    wanted = file.budget.minutes
    if kept.is_file():
        content = json.loads(kept.read_text(encoding='utf-8'))
        if content['minutes'] == wanted:
            return make_plan(file, out, content['images'])
    reference = make_plan(file, out, _REFERENCE)
    found, unknown, _ = find_rates(reference, rates, show)
    images = images_in(wanted, reference, found, unknown)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {'minutes': wanted, 'images': images})
    return make_plan(file, out, images)


def images_in(minutes: float, reference: Plan, rates: Rates, unknown: Mapping[str, str]) -> int:
    """How many images every row may take, if all trainings of systems together are to take so many minutes.

    Raises:
        UserError: a rate is unknown, or the time is too short for a batch.
    """
    systems = [(key, recipe, step) for key, recipe, step in trainings(reference) if recipe is not reference.recognizers]
    for key, _, _ in systems:
        if key not in rates:
            raise UserError(f"benchmark: a budget in minutes needs the rate of '{key}', which could not be measured: "
                            f"{unknown.get(key, '')}\nGive it by --rates FILE, or set budget: {{images: N}}.")
    seconds = sum(rates[key] * images_of(recipe, step) for key, recipe, step in systems) / reference.images
    images = int(60 * minutes / seconds) // reference.file.batch * reference.file.batch
    if not images:
        raise UserError(f'benchmark: {minutes:g} minutes are less than one batch of every system takes '
                        f'({seconds * reference.file.batch / 60:.1f} minutes). Raise the budget.')
    return images


def run_benchmark(plan: Plan, show: Progress, processes: int = 1) -> Finished:
    """Train what is not trained, measure what is not measured, write the report.

    Raises:
        UserError: data are missing, a recognizer cannot be trained, a run folder was begun with other options, or the
            pairs or lists of a test set do not fit it.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with exclusive_run(plan.out):
        preflight(plan)
        eta = Eta(plan, kept_rates(plan), show)
        if plan.recognizers:
            run_steps(plan.recognizers, eta.of(plan.recognizers), processes)
        failures: dict[tuple[int, int], dict[str, str]] = {}
        for run in plan.runs:
            failed = failures.setdefault((run.scale, run.seed), {})
            run_steps(run.recipe, eta.of(run.recipe), processes, failed=failed)
        results = collect(plan, failures, show)
        files = [results.save(plan.out), *write_report(results, plan.out)]
    reasons = {f'{run.system} x{run.scale} seed {run.seed}': run.reason for run in results.failed()}
    broken = [f'{check.what}: {check.evidence}' for check in results.facts.checks if check.outcome == 'broken']
    return Finished(results, files, reasons, broken)


def preflight(plan: Plan) -> None:
    """What is missing or does not fit should cost no training.

    Raises:
        UserError: a store or a recognizer's file is missing, the pairs or lists of a test set do not fit it, or a run
            folder was begun with other options or data.
    """
    for recipe in [*(run.recipe for run in plan.runs), *([plan.recognizers] if plan.recognizers else [])]:
        need_data(recipe)
        refuse_other_runs(recipe)
    for name, who in plan.file.recognizers.items():
        if who not in plan.file.steps and not Path(who).is_file():
            raise UserError(f"benchmark, recognizer '{name}': the file '{who}' is missing.")
    for name, options in plan.file.tests.items():
        folder = folder_of_test(plan, options.data)
        for scale in plan.file.scales:
            check_stores(name, folder, scale)
        protocols_of(options, *read_identities(folder))


# ---------------------------------------------------------------------------------------------------------- a dry run

def describe_plan(plan: Plan, rates: Rates, unknown: Mapping[str, str], device: str) -> dict[str, Any]:
    """Every training with its images and expected hours, for `--plan`; hours are None where a rate is unknown."""
    seconds = seconds_of(plan, rates)
    keys = {(str(recipe.out), step): key for key, recipe, step in trainings(plan)}
    rows = [{'run': str(Path(out).relative_to(plan.out)), 'step': step, 'images': _images(plan, out, step),
             'hours': None if spent is None else spent / 3600, 'unknown': unknown.get(keys[out, step], '')}
            for (out, step), spent in seconds.items()]
    titles = [{'row': row.title, 'scale': run.scale, 'seed': run.seed, 'images': run.recipe.images(row.step),
               'hours': _sum([seconds.get((str(run.recipe.out), step), 0.0) for step in row.steps])}
              for run in plan.runs for row in run.rows]
    return {'name': plan.file.name, 'out': str(plan.out), 'images_a_row': plan.images, 'batch': plan.file.batch,
            'device': device, 'trainings': rows, 'rows': titles,
            'hours': _sum([row['hours'] and row['hours'] * 3600 for row in rows])}


def _images(plan: Plan, out: str, step: str) -> int:
    recipes = [run.recipe for run in plan.runs] + ([plan.recognizers] if plan.recognizers else [])
    return images_of(next(recipe for recipe in recipes if str(recipe.out) == out), step)


def _sum(seconds: list[float | None]) -> float | None:
    """Hours; None where a part is unknown."""
    return None if None in seconds else sum(seconds) / 3600


def plan_as_text(described: Mapping[str, Any]) -> str:
    """The dry run for a terminal."""
    lines = [f"{described['name']}: {described['images_a_row']:,} images a row in batches of {described['batch']}; "
             f"rates of {described['device']}", '', f"{'training':44} {'images':>12} {'hours':>10}"]
    for row in described['trainings']:
        hours = f'unknown: {row["unknown"]}' if row['hours'] is None else f"{row['hours']:10.3f}"
        lines.append(f"{row['run'] + '/' + row['step']:44} {row['images']:12,} {hours}")
    whole = described['hours']
    known = sum(row['hours'] or 0 for row in described['trainings'])
    lines += ['', f'{len(described["trainings"])} trainings, about {known:.2f} hours'
              + ('' if whole is not None else ' without those of unknown rate')
              + '; index, stage 2 and measuring are not counted.']
    return '\n'.join(lines)
