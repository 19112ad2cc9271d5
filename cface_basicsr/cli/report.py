"""`cface report`: all tables, figures and the page again, from a saved record."""

from pathlib import Path

from cface_basicsr.cli.show import say, warn


def command(
    results: Path, out: Path | None = None,
) -> None:
    """Draw tables (CSV, Markdown, LaTeX), figures, report.md and report.html again; nothing is measured.

    Scores, features and faces that are no longer there are left out, and it is said how many. Of a run that has not
    been measured, only report.html with its losses and validations is written.

    Args:
        results: results.json of `cface train` or `cface benchmark`, or the run folder, also of a single training; or
            what `cface evaluate` saved.
        out: Folder to write into; default: that of the record.

    \b
    Example:
      cface report benchmark_demo/run --out report
      cface report results/x8.json --out report
      cface report experiments/cface_stage1
    """
    from cface_basicsr.measuring.results import RESULTS, load_results
    from cface_basicsr.report.write import write_curves, write_report
    from cface_basicsr.training.logs import unmeasured
    if results.is_dir() and not (results / RESULTS).is_file() and (run := unmeasured(results.resolve())):
        for path in write_curves(run, out or results):
            say(path)
        return
    folder, record = results if results.is_dir() else results.parent, load_results(results)
    for path in write_report(record, folder, out):
        say(path)
    missing = [file for run in record.runs for file in run.files() if not (folder / file).is_file()]
    if missing:
        warn(f"{len(missing)} scores, features and faces are missing and left out, such as '{missing[0]}'.")
