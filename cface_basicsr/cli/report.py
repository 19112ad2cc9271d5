"""`cface report`: all tables, figures and the page again, from a saved record."""

from pathlib import Path

from cface_basicsr.cli.show import say, warn


def command(
    results: Path, out: Path | None = None,
) -> None:
    """Draw tables (CSV, Markdown, LaTeX), figures, report.md and report.html again; nothing is measured.

    Scores and faces that are no longer there are left out, and it is said how many.

    Args:
        results: results.json of `cface train` or `cface benchmark`, or the run folder; or what `cface evaluate` saved.
        out: Folder to write into; default: that of the record.

    \b
    Example:
      cface report benchmark_demo/run --out report
      cface report results/x8.json --out report
    """
    from cface_basicsr.measuring.results import load_results
    from cface_basicsr.report.write import write_report
    folder, record = results if results.is_dir() else results.parent, load_results(results)
    for path in write_report(record, folder, out):
        say(path)
    missing = [file for run in record.runs for file in run.files() if not (folder / file).is_file()]
    if missing:
        warn(f"{len(missing)} scores and faces are missing and left out, such as '{missing[0]}'.")
