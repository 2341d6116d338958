"""The verb ``report``."""

from collections.abc import Sequence
from pathlib import Path

from conr.cli.parsing import parse, verb_parser


def report(options: Sequence[str]) -> None:
    """Print the table of tested runs and write the page."""
    parser = verb_parser("report", "Write one HTML file about tested runs.")
    parser.add_argument("runs", type=str, nargs="+", help="run folders, or folders above them")
    parser.add_argument("--out", type=str, default="report.html", help="the file to write")
    parser.add_argument("--baseline", type=str | None, default=None, help="method to compare with")
    parser.add_argument("--title", type=str, default="conr report", help="title of the page")
    chosen = parse(parser, options)

    from rich.console import Console

    from conr._progress import working
    from conr.report import load_runs, terminal_table, write_report
    from conr.runs.failures import find_failures

    paths = [Path(run) for run in chosen.runs]
    console = Console()
    with working("reading the runs"):
        groups = load_runs(paths, baseline=chosen.baseline)
    for group in groups:
        console.print(terminal_table(group))
    with working("drawing the report"):
        page = write_report(paths, Path(chosen.out), baseline=chosen.baseline, title=chosen.title)
    failures = find_failures(paths)
    if failures:
        console.print(f"{len(failures)} runs failed and are left out; the page names them")
    console.print(f"report: {page.resolve()}", markup=False, soft_wrap=True)
