"""`cface report`: all tables, figures and the page again, from a saved record."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    results: Annotated[Path, typer.Argument(help=(
        'results.json of `cface train` or `cface benchmark`, or the run folder; or what `cface evaluate` saved.'))],
    out: Annotated[Path | None, typer.Option(help='Folder to write into; default: that of the record.')] = None,
) -> None:
    """Draw tables (CSV, Markdown, LaTeX), figures, report.md and report.html again; nothing is measured.

    A figure whose scores or faces are no longer there is left out, and the reason printed.

    \b
    Example:
      cface report benchmark_demo/run --out report
      cface report results/x8.json --out report
    """
    from cface_basicsr.measuring.results import load_results
    from cface_basicsr.report.write import write_report
    left_out: list[str] = []
    folder = results if results.is_dir() else results.parent
    for path in write_report(load_results(results), folder, out, left_out=left_out):
        typer.echo(path)
    for reason in left_out:
        typer.echo(f'left out: {reason}', err=True)
