"""`cface train`: train all stages of a recipe, each with the weights of the one before."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cface_basicsr.cli.arguments import Data, Json, OptionPath, Plugins, Processes, RunFolder, Strict, Values
from cface_basicsr.runtime import start_computing

if TYPE_CHECKING:
    from cface_basicsr.cli.show import ShowSteps
    from cface_basicsr.training.view import TrainingView


def command(
    recipe: OptionPath, data: Data = None, out: RunFolder = None, processes: Processes = 1, values: Values = None,
    strict: Strict = False, as_json: Json = False, from_step: str | None = None,
    changes: Annotated[list[str] | None, typer.Option('--set', metavar='KEY=VALUE')] = None, plugin: Plugins = None,
) -> None:
    """Train all stages of a recipe, hand weights over, and measure at the end.

    Finished steps are skipped; after a kill the same command continues, even in mid-epoch. SIGTERM and Ctrl-C save a
    state first.

    Args:
        recipe: A recipe (options/cface_x8.yml), or one stage option file.
        from_step: The unfinished training STEP goes on from its last checkpoint with the options that it has now.
        changes: With --from-step, a setting of that step, train.optim_g.lr=1e-5; null takes a key away. May be
            repeated.

    \b
    Example:
      cface prepare --layout casia CASIA-WebFace --out datasets/casia --scale 2 4 8 --holdout 575 --seed 0
      cface train options/cface_x8.yml
      cface train options/cface_x8.yml --from-step stage1 --set train.optim_g.lr=5e-5
    """
    from cface_basicsr.cli.options import read_changes
    from cface_basicsr.errors import UserError
    from cface_basicsr.training.recipe import RECIPE, STAGE_FILE, check_kind, read_with_base
    variables, content = read_values(values), read_with_base(recipe)
    check_kind(recipe, content, RECIPE, STAGE_FILE)
    if 'steps' not in content:
        refused = {'--data': data, '--out': out, '--value': values, '--strict': strict, '--json': as_json,
                   '--from-step': from_step, '--set': changes}
        return _train_one(recipe, processes, [name for name, given in refused.items() if given])
    if changes and not from_step:
        raise UserError('--set: expected --from-step as well, which names the step that it changes.')
    changed = read_changes(changes or [])
    return train_recipe(recipe, data, out, variables, processes, as_json, strict, from_step, changed)


def read_values(values: list[str] | None) -> dict[str, str]:
    """['NAME=VALUE', …] of --value as a dictionary.

    Raises:
        UserError: one is malformed, or a name occurs twice.
    """
    from cface_basicsr.errors import UserError
    variables = dict(value.split('=', 1) for value in values or () if '=' in value)
    if len(variables) != len(values or ()):
        raise UserError('--value: expected NAME=VALUE, each name once.')
    return variables


def _train_one(options: Path, processes: int, refused: list[str]) -> None:
    """Train one stage option file, as `python -m cface_basicsr.train -opt FILE --auto_resume` does.

    Raises:
        UserError: an option was given that only recipes have.
    """
    from cface_basicsr.cli.show import ShowSteps, is_quiet
    from cface_basicsr.errors import UserError
    from cface_basicsr.training.process import train_in_the_foreground
    if refused:
        raise UserError(f"{', '.join(refused)}: only a recipe takes that, and '{options}' is a single training.\n"
                        f'Write a changed file, and train that: cface options show {options} --data DIR '
                        '--set KEY=VALUE > FILE')
    with ShowSteps(1) as show:
        seen = sys.stdout.isatty() and show.console.is_terminal
        watch = _warnings() if is_quiet() else _shown_by(show, options.stem) if seen else None
        code = train_in_the_foreground(options, processes, watch)
    raise typer.Exit(code)


def _shown_by(show: 'ShowSteps', name: str) -> Callable[[str, 'TrainingView'], None]:
    """Shows a training in a terminal: its progress in place, and above that all else that it prints."""
    def watch(line: str, view: 'TrainingView') -> None:
        reached = view.read(line)
        if reached is None:
            show.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            if show.task is None:
                show.start(name, view.total)
            show.advance(reached, view)
    return watch


def _warnings() -> Callable[[str, 'TrainingView'], None]:
    """Prints what --quiet leaves of a training."""
    from cface_basicsr.cli.show import warn
    from cface_basicsr.training.view import WarningsOnly
    chosen = WarningsOnly()
    return lambda line, view: warn(line) if chosen.shows(line) else None


def train_recipe(path: Path, data: Path | None, out: Path | None, variables: dict[str, str], processes: int,
                 as_json: bool, strict: bool = False, from_step: str | None = None,
                 changes: Mapping[str, Any] | None = None) -> None:
    """Run a recipe's steps and its report, with progress."""
    from functools import cache

    from cface_basicsr.cli.show import ShowSteps, note, say
    from cface_basicsr.measuring.default_judge import check_judge
    from cface_basicsr.measuring.measure import check_stores
    from cface_basicsr.report.write import short_report, write_report
    from cface_basicsr.training.recipe import Recipe
    from cface_basicsr.training.report import RecipeReport, check_report, led_rows
    from cface_basicsr.training.steps import run_steps
    start_computing()
    recipe = Recipe.read(path, data, out, variables)
    if from_step:
        recipe = recipe.continuing(from_step, changes or {})
    report = recipe.file.report
    check_stores(recipe.train_folder, recipe.file.scale)
    recipe.check_leaders(recipe.out)
    if report:
        check_report(recipe)
        recognizers = {name: recipe.weights_of(who, 'r') for name, who in report.recognizers.items()}
        check_judge(led_rows(recipe, report.rows, recognizers), recognizers, strict)
    reports = 1 + len(report.also_after) if report else 0
    measuring = cache(lambda: RecipeReport(recipe))  # one for all reports; made when the first is due
    with ShowSteps(len(recipe.file.steps) + reports) as show:
        def after(name: str) -> None:
            if report and name in report.also_after:
                early, folder = measuring().results(show, name)
                early.save(folder)
                write_report(early, folder, short=True)
                show.console.print(short_report(early), highlight=False, markup=False, soft_wrap=True)
        run_steps(recipe, show, processes, after)
        if report:
            results, folder = measuring().results(show)
            files = [results.save(folder), *write_report(results, folder, short=True)]
    if report:
        written = '\n'.join(map(str, files))
        say(results.json(), end='') if as_json else say(f'{short_report(results)}\n{written}')
    note(f'Trained networks: {recipe.out}/<step>/models/net_*_latest.pth')
