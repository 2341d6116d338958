"""Dates in tables, and the numbers that stand for them."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from conr._hints import option
from conr.tables.numbers import UnclearError

PARTS = ("year", "month", "day of week", "days")
"""Numbers that a column of dates becomes; days are counted from 1970."""

FIRST = {"day-first": "day.month.year", "month-first": "month/day/year", "year-first": "year-month-day"}
"""Orders that a user may name for dates that leave it open, and their places of day, month and year."""

_FORMATS = {  # of strptime
    "year-month-day": ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y-%m", "%Y/%m", "%y-%m-%d"),
    "day.month.year": ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y", "%m/%Y"),
    "month/day/year": ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y"),
    "month by name": (
        *("%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%Y %b %d", "%d %b %y", "%b %Y", "%B %Y", "%d%b%Y"),
        *("%a %d %b %Y", "%A %d %B %Y", "%a %b %d %Y", "%A %B %d %Y"),
    ),
    "time of day": ("",),
}
_LENGTHS = {"%Y%m%d": 8, "%d.%m.%y": 8}  # 1.2.19 is a version
_CLOCK = re.compile(
    r"(?:^|[T ]|, )(\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?:(?<=\.\d{6})\d+)?"
    r"(?: ?([AP])\.?M\.?)?(?: ?(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?$",
    re.ASCII | re.IGNORECASE,
)
_CLOCKS = [
    f"{clock}{zone}" for clock in ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M%p", "%I:%M:%S%p") for zone in ("", "%z")
]
_EPOCH, _MIDNIGHT = datetime(1970, 1, 1), datetime(1900, 1, 1)  # the second is the day of a time alone
_NEVER = np.iinfo(np.int64).min  # NaT
_SAMPLE = 200

ORDERS = tuple(_FORMATS)
_CLEAR = {
    ORDERS[0]: re.compile(r"[12]\d{3}([-/.])\d{1,2}(?:\1\d{1,2})?(?!\d)|(?:19|20)\d{6}(?!\d)", re.ASCII),
    "month by name": re.compile(r"[^\W\d]|\d{1,4}(?:st|nd|rd|th)?[-/., ]*[^\W\d]{3}", re.ASCII),
}
"""Orders whose dates are no others in another, and how such dates begin."""


def detected_order(counts: Mapping[str, int], first: str | None = None) -> str | None:
    """The order of day, month and year that the most texts of a column fit, if it is more than half of them.

    Times of day are so only if all are.

    Args:
        counts: of the texts.
        first: one of ``FIRST``, where both orders are possible; "none" for no dates.

    Raises:
        UnclearError: as many texts fit another order, and are other dates in it.
    """
    if first == "none":
        return None
    sample, weights = list(islice(counts, _SAMPLE)), np.array(list(counts.values()))
    dates = {
        order: parse_dates(counts, order)
        for order in ORDERS
        if sample and np.isnat(parse_dates(sample, order)).mean() < 0.9
    }
    fits = {order: int(weights[~np.isnat(found)].sum()) for order, found in dates.items()}
    fitting = [order for order, fit in fits.items() if fit > weights.sum() * (0.5 if order != ORDERS[-1] else 0.999)]
    if first is not None and FIRST[first] in fitting:
        return FIRST[first]
    best = [order for order in fitting if fits[order] == max(fits.values())]
    for other in best[1:]:
        differ = (dates[best[0]] != dates[other]) & ~np.isnat(dates[other])
        if differ.any():
            raise UnclearError(
                f"expected unambiguous dates, got {list(counts)[int(differ.argmax())]!r}, which may be {best[0]} or "
                f"{other} (set {option('dates', ' or '.join(FIRST))})"
            )
    return best[0] if best else None


def parse_dates(texts: Iterable[str | None], order: str) -> NDArray[np.datetime64]:
    """Dates of texts, shape (n,), in seconds of UTC; NaT for what is missing or is no date of this order."""
    column = list(texts)
    parts = {text: _parts(text, order) for text in set(column) if text is not None}
    days = _read({day for day, _ in parts.values()}, _FORMATS[order])
    clocks = _read({clock for _, clock in parts.values()}, ("", *_CLOCKS))
    seconds: dict[str | None, int] = {
        text: int((days[day] - _EPOCH + (clocks[clock] - _MIDNIGHT)).total_seconds())
        for text, (day, clock) in parts.items()
        if day in days and clock in clocks
    }
    found = np.array([seconds.get(text, _NEVER) for text in column], dtype=np.int64)
    return found.view("datetime64[s]")


def read_dates(texts: Iterable[str | None], order: str) -> NDArray[np.datetime64]:
    """As `parse_dates`, with dates that are clear in any order: the year first in four digits, or a month by name."""
    column = list(texts)
    dates = parse_dates(column, order)
    for other, pattern in _CLEAR.items() if order != ORDERS[-1] else ():
        rest = [one for one in np.flatnonzero(np.isnat(dates)) if column[one] is not None and other != order]
        clear = [one for one in rest if pattern.match(str(column[one]).strip())]
        dates[clear] = parse_dates([column[one] for one in clear], other)
    return dates


def compact_dates(numbers: NDArray[np.float64]) -> bool:
    """Tell if all numbers are dates from 1900 to 2100 in digits, such as 20240229."""
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0 or known.min() < 19000101 or known.max() > 21001231 or (known != known.round()).any():
        return False
    months, days = known // 100 % 100, known % 100
    if months.min() < 1 or months.max() > 12 or days.min() < 1 or days.max() > 31:
        return False
    return not np.isnat(parse_dates([f"{one:.0f}" for one in np.unique(known)], ORDERS[0])).any()


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


def _parts(text: str, order: str) -> tuple[str, str]:
    """The day and the time of day of a text, as `_FORMATS` and `_CLOCKS` write them."""
    text = text.strip()
    match = _CLOCK.search(text)
    day, clock = text, ""
    if match:
        zone = (match[3] or "").upper()
        zone = "Z" if zone in {"UTC", "GMT"} else f"{zone}00" if len(zone) == 3 else zone
        day, clock = text[: match.start()], f"{match[1]}{match[2] + 'M' if match[2] else ''}{zone}"
    if order == "month by name":
        day = re.sub(r"[-/., ]+", " ", re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", day)).strip()
        day = re.sub(r"\bsept\b", "Sep", day, flags=re.IGNORECASE)
    return day, clock


def _read(texts: set[str], formats: Iterable[str]) -> dict[str, datetime]:
    """The moments of those texts that fit a format, in UTC if they say their zone."""
    found: dict[str, datetime] = {}
    for form in formats:
        for text in texts - found.keys():
            try:
                moment = datetime.strptime(text, form)
            except ValueError:
                continue
            if len(text) == _LENGTHS.get(form, len(text)):
                found[text] = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return found
