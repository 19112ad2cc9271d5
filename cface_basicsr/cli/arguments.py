"""Options that several commands share, each with one name and one sentence."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option('--json', help='Print the result as JSON.')]
Device = Annotated[str | None, typer.Option(help='cpu, cuda, cuda:1 …; default: a GPU if there is one.')]
Workers = Annotated[int, typer.Option(min=0, help='Processes; 0: one per CPU core. The result is the same.')]
Overwrite = Annotated[bool, typer.Option('--overwrite', help='Replace results that exist.')]
Generator = Annotated[Path, typer.Option(help='Network file; it says which network and scale it holds.',
                                         show_default=False)]
Processes = Annotated[int, typer.Option('--nproc', help='Training processes (one per GPU), under torchrun.')]
Values = Annotated[list[str] | None, typer.Option('--value', help='NAME=VALUE for a `$NAME` in the file.')]
Data = Annotated[Path | None, typer.Option(help="Folder made by `cface prepare --holdout`, instead of the file's.")]
RunFolder = Annotated[Path | None, typer.Option('--out', help="Run folder, instead of the file's.")]
ImageBudget = Annotated[int | None, typer.Option('--images', min=1,
                                                 help="Budget of every row, instead of the file's.")]
PlanOnly = Annotated[bool, typer.Option('--plan', help='Print every run, its images and its expected hours; train '
                                                       'nothing.')]
Throughput = Annotated[Path | None, typer.Option(help='JSON file of measured throughput, so that none is measured.')]
