"""`cface ablate`: the paper's ablations, as rows of a benchmark that differ in one option."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cface_basicsr.errors import UserError, nearest

ABLATIONS = ('compare', 'training', 'loss')


def command(
    which: Annotated[str, typer.Argument(help='compare: which compare image (Table 6); training: the training '
                                              'algorithm (Table 7); loss: (5) against (6), and the distance.')],
    file: Annotated[Path | None, typer.Option(help='Another file than options/ablation/WHICH.yml, such as one of '
                                                   'reduced widths with `base: compare.yml`.')] = None,
    small: Annotated[bool, typer.Option('--small', help='options/ablation/WHICH_small.yml: drawn faces, reduced '
                                                        'widths, for a CPU.')] = False,
    data: Annotated[Path | None, typer.Option(help='Folder made by `cface prepare --holdout`.')] = None,
    out: Annotated[Path | None, typer.Option(help='Run folder.')] = None,
    images: Annotated[int | None, typer.Option(min=1, help='Budget of every row.')] = None,
    processes: Annotated[int, typer.Option('--nproc', help='Training processes (one a GPU), under torchrun.')] = 1,
    values: Annotated[list[str] | None, typer.Option('--value', help='NAME=VALUE for a `$NAME` of the file.')] = None,
    plan_only: Annotated[bool, typer.Option('--plan', help='Print every run, its images and its expected hours.')
                         ] = False,
    rates: Annotated[Path | None, typer.Option(help='JSON file of rates, instead of measuring them.')] = None,
    json_: Annotated[bool, typer.Option('--json', help='Print the result as JSON.')] = False,
) -> None:
    """Train the rows of an ablation, each differing in one option, and tabulate them as the paper does.

    Phases that are equal in several rows are trained once. What is finished is skipped.

    \b
    Example:
      cface ablate training --small
      cface ablate compare --data datasets/casia --plan
    """
    from cface_basicsr.benchmark.file import read_benchmark
    from cface_basicsr.cli.benchmark import run_file
    from cface_basicsr.cli.train import read_values
    from cface_basicsr.training.option_files import find_recipe
    if which not in ABLATIONS:
        raise UserError(f"ablation: expected one of {', '.join(ABLATIONS)}, got '{which}'; "
                        f'{nearest(which, ABLATIONS)}')
    if file and small:
        raise UserError('--file and --small name two files; give one of them.')
    changes: dict[str, Any] = {'data': str(data), 'generated': None} if data else {}
    if images:
        changes['budget'] = {'images': images, 'minutes': None}
    path = file or find_recipe(f"ablation/{which}{'_small' if small else ''}.yml")
    run_file(read_benchmark(path, read_values(values), changes), out, processes, plan_only, rates, json_)
