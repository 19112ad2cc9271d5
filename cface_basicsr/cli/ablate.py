"""`cface ablate`: the paper's ablations, as rows of a benchmark that differ in one option."""

from typing import Annotated

import typer

from cface_basicsr.cli import arguments as args
from cface_basicsr.cli.benchmark import command as benchmark
from cface_basicsr.errors import UserError, check_known

ABLATIONS = ('compare', 'training', 'loss', 'optimizer', 'recognizer')


def command(
    which: str, file: args.OtherPath = None,
    small: Annotated[bool, typer.Option('--small')] = False,
    data: args.Data = None, out: args.RunFolder = None, images: args.ImageBudget = None,
    processes: args.Processes = 1, values: args.Values = None, plan_only: args.PlanOnly = False,
    measure: args.Measure = False, throughput: args.Throughput = None, strict: args.Strict = False,
    as_json: args.Json = False, plugin: args.Plugins = None,
) -> None:
    """Train the rows of an ablation, which differ in one option, and tabulate them as the paper does.

    Phases that several rows share are trained once. What is finished is skipped.

    Args:
        which: compare: which compare image (Table 6); training: the training algorithm (Table 7); loss: (5) against
            (6), and the distance; optimizer: of stage 3; recognizer: L_CF of random views and by two recognizers.
        file: A file instead of options/ablation/WHICH.yml, such as one of reduced widths with `base: compare.yml`.
        small: options/ablation/WHICH_small.yml: synthetic faces, reduced widths, for a CPU.

    \b
    Example:
      cface ablate training --small
      cface ablate compare --data datasets/casia --plan
    """
    from cface_basicsr.options.shipped import find_option_file
    check_known('ablation', which, ABLATIONS)
    if file and small:
        raise UserError('--file and --small name two files; give one of them.')
    path = file or find_option_file(f"ablation/{which}{'_small' if small else ''}.yml")
    benchmark(path, data, out, images, processes, values, plan_only, measure, throughput, strict, as_json)
