"""Sentences on what was understood of a file where it is not plain."""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from conr._hints import option
from conr.tables.columns import Kind, missing
from conr.tables.files import Column, RawTable
from conr.tables.numbers import PLAIN, looks_plain

_EITHER = re.compile(r"\D*[1-9]\d{0,2}[.,]\d{3}\D*", re.ASCII)  # a thousand or a fraction
_CODE = re.compile(r"[+-]?0\d+", re.ASCII)
_MOST_TEXTS = 10_000  # that a sentence looks at


def understood(path: Path, table: RawTable, kinds: Mapping[str, Kind], values: Mapping[str, Column]) -> list[str]:
    """A sentence for each column of dates, and of numbers that a person may mean otherwise.

    Args:
        path: the file, as messages name it.
        table: its content.
        kinds: of the columns by name.
        values: those of dates by name.
    """
    found: dict[str, str] = {}
    for name, kind in kinds.items():
        if kind.name == "date":
            found[name] = _of_dates(table.column(name), kind, values[name])
        elif kind.name == "number" and table.column(name).dtype == object:
            found[name] = _of_numbers(table, table.column(name), kind)
    return [f"{path}, column {name!r}: {sentence}" for name, sentence in found.items() if sentence]


def _of_dates(column: Column, kind: Kind, dates: Column) -> str:
    ends = np.nanmin(dates), np.nanmax(dates)
    unit = "D" if ends[1] - ends[0] >= np.timedelta64(1, "D") else "m"
    low, high = (one.astype(f"datetime64[{unit}]") for one in ends)
    order = "" if column.dtype.kind == "M" else f", {kind.order},"
    first = column[~missing(column)][0]
    compact = isinstance(first, float) or str(first).isdecimal()
    advice = f"; set {option('dates', 'none')} to keep numbers such as {float(first):.0f}" if compact else ""
    return f"dates{order} from {low} to {high} become year, month, day of the week and days since the first{advice}"


def _of_numbers(table: RawTable, column: Column, kind: Kind) -> str:
    texts = list(islice((text for text in dict.fromkeys(column.tolist()) if text is not None), _MOST_TEXTS))
    numbers = dict(zip(texts, kind.writing.numbers(texts, len(texts))[0].tolist(), strict=True))
    marked = [text for text in texts if "," in text or "." in text]
    codes = [text for text in texts if kind.writing == PLAIN and _CODE.fullmatch(text)]
    if table.written.decimal is None and marked and all(map(_EITHER.fullmatch, marked)):
        mark = option("decimal", "'.'")
        odd, advice = marked, f" (set its mark with {mark} or ',')"
    elif codes:
        odd, advice = codes, f" (name the column in {option('categorical')} to keep such codes)"
    else:  # a decimal comma alone is what everybody expects
        comma, advice = kind.writing.decimal == ",", ""
        usual = [looks_plain(text.replace(",", ".") if comma and "." not in text else text) for text in texts]
        odd = [text for text, is_usual in zip(texts, usual, strict=True) if not is_usual or (comma and "." in text)]
    example = max((text for text in odd if np.isfinite(numbers[text])), key=len, default=None)
    return "" if example is None else f"{example!r} is read as {numbers[example]:.12g}{advice}"
