"""The verb ``explain``: a page about the network of a run and its rare labels."""

from collections.abc import Sequence
from pathlib import Path

from conr.cli.parsing import parse, verb_parser

DESCRIPTION = """Show what the network of a run does with rare labels, as one HTML file.

  conr explain runs/rotated-digits/conr/seed-0
  conr explain runs/abalone/conr/seed-0 --beside runs/abalone/vanilla/seed-0 --split val

The page shows labels against predictions, feature maps before and after training, the collapse measure over training,
the neighbours of rare samples in feature space, and the worst errors with their inputs.
"""


def explain(options: Sequence[str]) -> int:
    """Print how near the labels of neighbours are and write the page; exit status 0."""
    parser = verb_parser("explain", DESCRIPTION)
    parser.add_argument("run", type=str, help="folder of the run")
    parser.add_argument(
        "--beside", type=str | None, default=None, help="another run on the same dataset, for comparison"
    )
    parser.add_argument("--split", choices=("test", "val"), default="test", help="which samples to explain")
    parser.add_argument("--most", type=int, default=2000, help="largest number of samples of each split, evenly spread")
    parser.add_argument(
        "--out", type=str | None, default=None, help="the file to write (default: RUN/explanation.html)"
    )
    chosen = parse(parser, options)

    from rich.console import Console

    from conr._progress import working
    from conr.report.explanation import explain_run, gaps_table
    from conr.report.explanation_page import write_explanation

    run = Path(chosen.run)
    beside = None if chosen.beside is None else Path(chosen.beside)
    with working("running the network"):
        found = explain_run(run, split=chosen.split, most=chosen.most, beside=beside)
    with working("drawing the explanation"):
        page = write_explanation(found, run / "explanation.html" if chosen.out is None else Path(chosen.out))
    console = Console(highlight=False)
    console.print(gaps_table(found).terminal())
    console.print(f"explanation: {page.resolve()}", markup=False, soft_wrap=True)
    return 0
