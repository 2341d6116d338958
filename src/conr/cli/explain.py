"""The verb ``explain``: what a run's network does with rare labels."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Column, Table

from conr.cli.help import HelpFormatter
from conr.report.explanation import GAP_NEIGHBOURS, SPLITS, Explanation, explain_run
from conr.report.explanation_page import write_explanation
from conr.report.tables import NOTHING, REGION_TITLES

DESCRIPTION = """Show what the network of a run does with rare labels, as one HTML file.

  conr explain runs/rotated-digits/conr/seed-0
  conr explain runs/abalone/conr/seed-0 --beside runs/abalone/vanilla/seed-0 --split val

The page has labels against predictions, feature maps before and after training, the measure of collapse over training,
the neighbours of rare samples in feature space, and the worst errors with their inputs.
"""


def explain(options: Sequence[str]) -> int:
    """Print how near the labels of neighbours are and write the page; exit status 0."""
    parser = ArgumentParser(prog="conr explain", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("run", type=str, help="folder of the run")
    parser.add_argument("--beside", type=str | None, default=None, help="another run on the same dataset to compare")
    parser.add_argument("--split", choices=SPLITS, default="test", help="samples that are explained")
    parser.add_argument("--most", type=int, default=2000, help="samples of each split at most, evenly spread")
    parser.add_argument("--out", type=str | None, default=None, help="the file (default: RUN/explanation.html)")
    chosen = parser.parse_args(list(options))
    run = Path(chosen.run)
    beside = None if chosen.beside is None else Path(chosen.beside)
    found = explain_run(run, split=chosen.split, most=chosen.most, beside=beside)
    page = write_explanation(found, run / "explanation.html" if chosen.out is None else Path(chosen.out))
    console = Console(highlight=False)
    console.print(_gaps(found))
    console.print(f"explanation: {page.resolve()}", markup=False, soft_wrap=True)
    return 0


def _gaps(found: Explanation) -> Table:
    title = f"{found.title}: mean label distance to the {GAP_NEIGHBOURS} nearest training samples in feature space"
    table = Table("network", *(Column(name, justify="right") for name in REGION_TITLES.values()), title=title)
    for name, gaps in found.gaps.items():
        cells = (gaps[region] for region in REGION_TITLES)
        table.add_row(name, *(NOTHING if gap is None else f"{gap:.3g}" for gap in cells))
    return table
