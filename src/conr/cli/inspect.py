"""The verb ``inspect``: the labels of a table, and settings to start with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conr.cli.parsing import add_file_format, check_free, parse, verb_parser
from conr.tables.typed import as_setting, typed_column, typed_columns

DESCRIPTION = """Look at the labels of a CSV or Parquet file before any training.

Prints their histogram by shot region, how imbalanced they are, which bins are too empty to test, and suggested bins,
weights and ConR settings; writes inspection.json, inspection.png and settings.yaml, a configuration for conr fit:

  conr inspect houses.csv --target price
  conr inspect concrete.data --header false --target -1 --out runs/concrete
  conr fit --config runs/inspection/houses/settings.yaml

A second inspection of the file goes to houses-2.
"""

_WIDTHS: Any = float | list[float] | None
_OPTIONS = (  # of `conr.data.Table`, which has the defaults
    ("split_column", str | None, 'column with "train", "val" or "test" (default: draw balanced splits)'),
    ("bin_width", _WIDTHS, "width of the label bins, in label units, one number or one per target (default: chosen)"),
    ("bin_count", int | None, "number of label bins of equal width, instead of their width"),
    (
        "most",
        int | None,
        "largest number of rows per bin in val and in test (default: each gets about a tenth of all rows)",
    ),
    ("label_unit", str | None, "unit of the label, for tables and pictures"),
    ("many", int | None, "a bin with more training samples is many-shot (default: 100)"),
    ("few", int | None, "a bin with fewer training samples is few-shot (default: 20)"),
    ("data_seed", int | None, "seed of the split (default: 0)"),
)


def inspect(options: Sequence[str]) -> int:
    """Print what was found and write the files; exit status 0."""
    parser = verb_parser("inspect", DESCRIPTION)
    parser.add_argument("path", type=str, help="the file")
    parser.add_argument(
        "--target",
        type=str,
        nargs="+",
        required=True,
        help="column of the label, by name or position; several are possible",
    )
    parser.add_argument("--ignore", type=str, nargs="+", default=[], help="columns to leave out")
    parser.add_argument("--categorical", type=str, nargs="+", default=[], help="numeric columns to treat as categories")
    for name, kind, summary in _OPTIONS:
        parser.add_argument(f"--{name}", type=kind, default=None, help=summary)
    add_file_format(parser)
    parser.add_argument(
        "--out", type=str | None, default=None, help="new folder to write to (default: runs/inspection/NAME)"
    )
    chosen = vars(parse(parser, options))
    out = chosen.pop("out")
    for name in ("target", "ignore", "categorical"):
        chosen[name] = typed_columns(chosen[name])
    if chosen["split_column"] is not None:
        chosen["split_column"] = typed_column(chosen["split_column"])
    targets = chosen["target"]
    chosen["target"] = as_setting(targets)
    unless_given = {"ignore": [], "categorical": [], "skip_bad": False}
    given = {name: value for name, value in chosen.items() if value is not None and value != unless_given.get(name)}

    from rich.console import Console

    from conr._progress import working
    from conr.data.inspection import inspect_table
    from conr.report.inspection import inspection_text, write_inspection
    from conr.runs.atomic import free_path, write_folder
    from conr.tables.files import FileFormat
    from conr.tables.source import TableFile

    def named(*names: str) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    file = TableFile(
        Path(given["path"]),
        targets,
        written=FileFormat(**named("header", "separator", "encoding", "decimal", "dates")),
        seed=given.get("data_seed", 0),
        **named("ignore", "categorical", "split_column", "bin_width", "bin_count", "most", "skip_bad"),
    )
    folder = free_path(Path("runs") / "inspection" / file.path.stem) if out is None else Path(out)
    check_free(folder)
    console = Console(highlight=False)
    with working("reading the table"):
        found = inspect_table(file, **named("many", "few", "label_unit"))
    for sentence in found.notes:
        console.print(sentence, markup=False, soft_wrap=True)
    console.print(inspection_text(found), soft_wrap=True)
    paths: list[Path] = []
    with working("drawing the labels"):
        placed = write_folder(folder, lambda inside: paths.extend(write_inspection(found, inside, options=given)))
    paths = [placed / path.name for path in paths]
    for path in paths:
        console.print(f"written: {path.resolve()}", markup=False, soft_wrap=True)
    console.print(f"to train with these settings: conr fit --config {paths[-1]}", markup=False, soft_wrap=True)
    return 0
