"""`cface benchmark`: train and measure many systems alike, from one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cface_basicsr.cli import arguments as args
from cface_basicsr.cli.show import ShowSteps, note, say, say_json, warn
from cface_basicsr.runtime import start_computing

if TYPE_CHECKING:
    from cface_basicsr.benchmark.file import BenchmarkFile
    from cface_basicsr.benchmark.plan import Plan


def command(
    file: args.OptionPath, data: args.Data = None, out: args.RunFolder = None, images: args.ImageBudget = None,
    processes: args.Processes = 1, values: args.Values = None, plan_only: args.PlanOnly = False,
    measure: args.Measure = False, throughput: args.Throughput = None, strict: args.Strict = False,
    as_json: args.Json = False, rows: args.Rows = None,
    no_train: args.NoTrain = False, plugin: args.Plugins = None,
) -> None:
    """Train every system with the same budget of images, measure all, write tables, curves, grids and a report.

    What is already trained or measured is skipped; after a kill the same command continues. A training that fails
    costs only its own row, and the exit code is then 1.

    Args:
        file: A benchmark file, such as options/benchmark/demo.yml.

    \b
    Example:
      cface benchmark options/benchmark/demo.yml
      cface benchmark options/benchmark/paper.yml --plan
      cface benchmark options/benchmark/paper.yml --plan --measure
    """
    from cface_basicsr.benchmark.file import read_benchmark
    from cface_basicsr.benchmark.run import plan_benchmark
    from cface_basicsr.cli.train import read_values
    changes: dict[str, Any] = {'data': str(data), 'generated': None} if data else {}
    if images:
        changes['budget'] = {'images': images, 'minutes': None}
    start_computing()
    content = read_benchmark(file, read_values(values), changes)
    with ShowSteps(1) as show:
        plan = plan_benchmark(content, out, throughput, show, measure or not plan_only)
    if plan_only:
        return _show_plan(plan, throughput, measure, as_json)
    if content.generated:
        _make_faces(content)
    raise typer.Exit(_run(plan, processes, strict, as_json, rows, not no_train))


def _show_plan(plan: 'Plan', throughput: Path | None, measure: bool, as_json: bool) -> None:
    from cface_basicsr.benchmark.run import describe_plan, plan_as_text
    from cface_basicsr.benchmark.throughput import find_throughput
    with ShowSteps(1) as show:
        described = describe_plan(plan, *find_throughput(plan, throughput, show, measure))
    say_json(described) if as_json else say(plan_as_text(described))


def _make_faces(file: 'BenchmarkFile') -> None:
    """Make and prepare synthetic faces, for a benchmark without photographs; once for each data folder."""
    from cface_basicsr.cli.demo import draw_faces, prepare_faces
    if (Path(file.data) / 'test' / 'manifest.json').is_file():
        return _check_faces(file)
    faces = draw_faces(Path(f'{file.data}_faces'), file.generated.identities, file.generated.images)
    prepare_faces(faces, Path(file.data), file.generated.holdout, False, None, tuple(sorted(file.scales)))


def _check_faces(file: 'BenchmarkFile') -> None:
    from cface_basicsr.files.manifest import check_made_with, read_manifest
    train, test = (read_manifest(Path(file.data) / part) for part in ('train', 'test'))
    people, images = (train[key] + test[key] for key in ('identities', 'images'))
    there = {'identities': people, 'holdout': test['identities'], 'images': images // people}
    check_made_with(file.data, there, file.generated.model_dump())


def _run(plan: 'Plan', processes: int, strict: bool, as_json: bool, rows: Path | None, train: bool) -> int:
    from cface_basicsr.benchmark.run import run_benchmark
    with ShowSteps(sum(len(recipe.file.steps) for recipe in plan.recipes) + len(plan.file.scales) * 2
                   + sum(len(run.rows) for run in plan.runs)) as show:
        finished = run_benchmark(plan, show, processes, strict, rows, train)
    report = next((path for path in finished.files if path.name == 'report.md'), None)
    if as_json:
        say((plan.out / 'results.json').read_text(encoding='utf-8'), end='')
    elif report:
        say(report.read_text(encoding='utf-8'))
    for name, reason in finished.failed.items():
        warn(f'failed: {name}: {reason}')
    for line in finished.broken:
        warn(f'not fair: {line}')
    note('Report: ' + ', '.join(str(path) for path in finished.files if path.parent == plan.out))
    return finished.code
