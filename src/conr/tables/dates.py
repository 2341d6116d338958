"""Dates in tables, and the numbers that stand for them."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from conr.tables.numbers import UnclearError

PARTS = ("year", "month", "day of week", "days")
"""Numbers that a column of dates becomes; days are counted from 1970."""

_TIME = r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?(?:Z|[+-]00:?00)?)?"
_ORDERS = {
    "year-month-day": rf"(?P<year>\d{{4}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}}){_TIME}",
    "day.month.year": rf"(?P<day>\d{{1,2}})(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){_TIME}",
    "month/day/year": rf"(?P<month>\d{{1,2}})(?P<mark>[-/])(?P<day>\d{{1,2}})(?P=mark)(?P<year>\d{{4}}){_TIME}",
}
_FORMATS = {order: re.compile(pattern, re.ASCII) for order, pattern in _ORDERS.items()}

ORDERS = tuple(_FORMATS)


def detected_order(texts: Sequence[str]) -> str | None:
    """The order of day, month and year in which all texts of a column are dates; None if they are not.

    Raises:
        UnclearError: day and month can change places in all of them.
    """
    if not texts:
        return None
    fitting = [order for order in ORDERS if not np.isnat(parse_dates(texts, order)).any()]
    if len(fitting) > 1:
        first, second = (parse_dates(texts, order) for order in fitting)
        if (first != second).any():
            example = texts[int((first != second).argmax())]
            raise UnclearError(
                f"expected dates whose day and month differ, got {example!r}, which may be {fitting[0]} or "
                f"{fitting[1]}: write them as year-month-day"
            )
    return fitting[0] if fitting else None


def parse_dates(texts: Iterable[str | None], order: str) -> NDArray[np.datetime64]:
    """Dates of texts, shape (n,), in seconds; NaT for what is missing or is no date of this order."""
    return np.array([_date(text, order) for text in texts], dtype="datetime64[s]")


def date_numbers(dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """The numbers of `PARTS`, shape (n, 4); NaN for what is missing."""
    days = dates.astype("datetime64[D]")
    months = dates.astype("datetime64[M]").astype(np.int64)
    parts = [
        months // 12 + 1970,
        months % 12 + 1,
        (days.astype(np.int64) + 3) % 7,  # 0 is Monday; the first of January 1970 was a Thursday
        dates.astype(np.int64) / 86_400,
    ]
    numbers = np.stack([part.astype(np.float64) for part in parts], axis=1)
    numbers[np.isnat(dates)] = np.nan
    return numbers


def _date(text: str | None, order: str) -> str:
    match = None if text is None else _FORMATS[order].fullmatch(text.strip())
    if match is None:
        return "NaT"
    part = {name: int(value or 0) for name, value in match.groupdict().items() if name != "mark"}
    written = (
        f"{part['year']:04}-{part['month']:02}-{part['day']:02}"
        f"T{part['hour']:02}:{part['minute']:02}:{part['second']:02}"
    )
    try:
        np.datetime64(written)
    except ValueError:  # the 30th of February
        return "NaT"
    return written
