"""Large CSV files, read by pandas in one pass; lines that are not as the others are looked at one by one."""

import csv
import io
from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conr.tables.bad_rows import BadRows
from conr.tables.dialect import Dialect

FEWEST_BYTES = 2**20
"""A smaller file is read without pandas, whose import takes longer."""

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?"})

_HEAD = 2**18  # bytes that the dialect is detected from
_SAMPLE = 1000  # rows that tell which columns hold text


def head_of(content: bytes) -> bytes | None:
    """The first lines of a large text that can be read fast; None if it cannot.

    It has ASCII letters alone, no quotes, in which a field may hold separators, and ends of lines of one kind.
    """
    large = len(content) >= FEWEST_BYTES and find_spec("pandas") is not None
    if not large or not content.isascii() or b'"' in content or b"\0" in content:
        return None
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
        return None
    return content[: content.find(b"\n", _HEAD) + 1] or content


def read_large(
    content: bytes, dialect: Dialect, bad: BadRows, *, texts: Collection[int]
) -> tuple[list[NDArray[Any]], NDArray[np.int64]]:
    """The columns below the header, and the number of each row in the file.

    Args:
        content: of the file.
        dialect: from its first lines.
        bad: told of rows with another number of fields, which are left out.
        texts: positions of columns that stay as they are written.

    Returns:
        Columns of float64 where all values are plain numbers, others of Python strings, None for what is missing.
    """
    body, numbers = _rows(content, dialect, bad)
    del content
    width = len(dialect.names) + dialect.ended
    sample = _frame(body, dialect, width, nrows=_SAMPLE)
    of_text = {*texts, *(one for one in range(width) if sample[one].dtype.kind not in "fiu")}
    frame = _frame(body, dialect, width, dtype=dict.fromkeys(of_text, str))
    late = [one for one in range(width) if frame[one].dtype.kind not in "fiu" and one not in of_text]
    if late:  # a text far below
        again = _frame(body, dialect, width, dtype=dict.fromkeys(late, str), usecols=late)
        for one in late:
            frame[one] = again[one]
    columns = [_column(frame[one]) for one in range(len(dialect.names))]
    empty = np.ones(len(numbers), dtype=bool)
    for column in columns:
        empty &= np.array([one is None for one in column]) if column.dtype == object else np.isnan(column)
    if empty.any():  # separators alone
        columns, numbers = [column[~empty] for column in columns], numbers[~empty]
    return columns, numbers


def _rows(content: bytes, dialect: Dialect, bad: BadRows) -> tuple[bytes, NDArray[np.int64]]:
    """Lines with the right number of fields, joined, and their numbers."""
    array = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero(array == ord("\n"))
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate([[0], ends[:-1] + 1])
    marks = np.flatnonzero(array == ord(dialect.mark))
    counts = np.searchsorted(marks, ends) - np.searchsorted(marks, starts)
    numbers = np.arange(1, len(ends) + 1)
    wanted = len(dialect.names) - 1 + dialect.ended
    good = (counts == wanted) & (numbers > dialect.last_above)
    for line in np.flatnonzero(~good & (numbers > dialect.last_above)).tolist():
        if content[starts[line] : ends[line]].strip():
            bad.add(line + 1, f"expected {len(dialect.names)} fields, got {counts[line] + 1}")
    if good[dialect.last_above :].all():
        return content[starts[dialect.last_above] :] if dialect.last_above else content, numbers[good]
    kept = np.flatnonzero(good).tolist()
    return b"\n".join([content[starts[line] : ends[line]] for line in kept]), numbers[good]


def _frame(body: bytes, dialect: Dialect, width: int, **options: Any) -> Any:
    import pandas as pd  # noqa: PLC0415  takes longer than reading a small file

    if int(pd.__version__.partition(".")[0]) < 3:  # later ones round so by themselves
        options["float_precision"] = "round_trip"
    return pd.read_csv(
        io.BytesIO(body),
        sep=dialect.mark,
        header=None,
        names=list(range(width)),
        index_col=False,
        quoting=csv.QUOTE_NONE,
        skipinitialspace=True,
        skip_blank_lines=False,
        keep_default_na=False,
        na_values=sorted({case for word in MISSING for case in (word, word.upper(), word.title())} | {"NaN"}),
        low_memory=False,
        encoding="ascii",
        **options,
    )


def _column(series: Any) -> NDArray[Any]:
    if series.dtype.kind in "fiu":
        return np.asarray(series, dtype=np.float64)
    import pandas as pd  # noqa: PLC0415

    codes, distinct = pd.factorize(series)
    stripped = [text.strip() for text in distinct]
    known = np.empty(len(stripped) + 1, dtype=object)  # the last is None, for a code of -1
    known[:-1] = [None if text.lower() in MISSING else text for text in stripped]
    return known[codes]
