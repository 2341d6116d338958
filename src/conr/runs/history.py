"""Metrics of each epoch that a run logged: ``csv/version_*/metrics.csv``, as Lightning's logger writes it."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conr.runs.atomic import write_csv
from conr.runs.reading import read_bytes


def write_history(run_dir: Path, epochs: Sequence[Mapping[str, Any]]) -> Path:
    """Write what was logged per epoch, numbers by name with ``epoch`` (from 0) and ``step``, and return the path."""
    path = run_dir / "csv" / "version_0" / "metrics.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch))
    return write_csv(path, names, ([epoch.get(name) for name in names] for epoch in epochs))


def read_history(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what a run logged per epoch, from ``csv/version_*/metrics.csv``.

    The last value of an epoch counts. A resumed run has several versions: later ones override earlier ones. A row
    without an epoch, as the learning rate is logged, belongs to the epoch of the next row that names one. A last line
    that a killed run left unfinished is skipped.

    Returns:
        By metric, pairs of epoch and value in the order of epochs; empty if the run logged nothing.

    Raises:
        ValueError: a file that is no table of numbers; the message names file, line and column.
    """
    merged: dict[str, dict[int, float]] = {}
    for path in sorted(run_dir.glob("csv/version_*/metrics.csv"), key=_version):
        reader = csv.DictReader(io.StringIO(_whole_lines(path)))
        waiting: list[dict[str, float]] = []
        for row in _rows(path, reader):
            values = {name: _number(path, reader.line_num, name, cell) for name, cell in row.items() if cell}
            waiting.append(values)
            if "epoch" not in values:
                continue
            if not math.isfinite(values["epoch"]):
                raise ValueError(f"{path}, line {reader.line_num}: expected the number of an epoch, got {row['epoch']}")
            for logged in waiting:
                for name in logged.keys() - {"epoch", "step"}:
                    merged.setdefault(name, {})[int(values["epoch"])] = logged[name]
            waiting = []
    return {name: sorted(merged[name].items()) for name in sorted(merged)}


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.removeprefix("version_")
    return (int(number) if number.isdecimal() else -1, number)


def _whole_lines(path: Path) -> str:
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a CSV file in UTF-8, got a broken one: {error}") from error
    return text[: text.rfind("\n") + 1]


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: expected a row of a CSV file: {error}") from error


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ValueError(f"{path}, line {line}, column {column}: expected a number, got {cell!r}") from None
