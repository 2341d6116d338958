"""The verb ``inspect``: what a table's labels are like, and which settings to start with."""

import inspect as introspection
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from conr.cli.data import as_typed
from conr.cli.help import HelpFormatter
from conr.data import Table
from conr.data.inspection import inspect_table
from conr.report.inspection import inspection_text, write_inspection

DESCRIPTION = """Look at the labels of a CSV or Parquet file before any training.

Prints their histogram by shot region, how imbalanced they are, which bins are too empty to test, and suggested bins,
weights and settings of ConR; writes inspection.json, inspection.png and settings.yaml, which conr fit takes:

  conr inspect houses.csv --target price
  conr inspect concrete.data --header false --target -1 --out runs/concrete
  conr fit --config runs/inspection/houses/settings.yaml
"""

_OWN = ("path", "target", "ignore", "categorical", "predict_path")


def inspect(options: Sequence[str]) -> int:
    """Print what was found and write the files; exit status 0."""
    parser = ArgumentParser(prog="conr inspect", description=DESCRIPTION, formatter_class=HelpFormatter)
    parser.add_argument("path", type=str, help="the file")
    parser.add_argument(
        "--target", type=str, nargs="+", required=True, help="column of the label, by name or position; or several"
    )
    parser.add_argument("--ignore", type=str, nargs="+", default=[], help="columns that are no inputs")
    parser.add_argument(
        "--categorical", type=str, nargs="+", default=[], help="columns that are categories although they hold numbers"
    )
    parser.add_class_arguments(Table, skip=set(_OWN))
    parser.add_argument(
        "--out", type=str | None, default=None, help="folder of the files (default: runs/inspection/NAME)"
    )
    chosen = parser.parse_args(as_typed(Table, options))
    target = _columns(chosen.target)
    named = {"path": chosen.path, "target": target[0] if len(target) == 1 else target}
    lists = {name: _columns(chosen[name]) for name in ("ignore", "categorical")}
    parameters = introspection.signature(Table).parameters
    others = {name: chosen[name] for name in parameters if name not in _OWN} | lists
    given = named | {name: value for name, value in others.items() if value not in (parameters[name].default, [])}
    table = Table(**given)
    console = Console(highlight=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = inspect_table(table)
    console.print(inspection_text(found), soft_wrap=True)
    for warning in caught:
        console.print(f"note: {warning.message}", markup=False, soft_wrap=True)
    folder = Path("runs") / "inspection" / table.file.path.stem if chosen.out is None else Path(chosen.out)
    paths = write_inspection(found, folder, options=given)
    for path in paths:
        console.print(f"written: {path.resolve()}", markup=False, soft_wrap=True)
    console.print(f"to train with these settings: conr fit --config {paths[-1]}", markup=False, soft_wrap=True)
    return 0


def _columns(words: Sequence[str]) -> list[int | str]:
    return [int(word) if re.fullmatch(r"-?\d+", word) else word for word in words]
