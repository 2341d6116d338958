"""Numbers as people write them: with marks between thousands, a currency, a percent sign or a unit."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from conr._hints import option

DECIMALS = (".", ",")

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_LIKE = re.compile(  # a number between two units, of which one at most is there
    r"(?P<before>[^\W\d_]{2,3}\.|[^\d\s.,()+-]{1,4}|[A-Z]{3} )? ?(?P<sign>[+-]?) ?"
    r"(?P<digits>\d(?:[\d.,' ]*\d)?\.?|[.,]\d+)(?P<power>[eE][+-]?\d+)?"
    r" ?(?P<after>%|‰|(?:(?:sq|cu|Mio|mio|Mrd|Tsd|million|billion|per)\.? )?"
    r"[^\d\s.,()+-][^\d\s,()]{0,9}(?:(?<=[mtndisMTN])\^?[23])?)?",
    re.ASCII,
)
_MARKS = ((".", ","), (",", "."), (",", ""), (".", " "), (",", " "), (".", "'"), (",", "'"))  # decimal, thousands
_ZEROS = "\u0660\u06f0\u0966\u09e6\uff10"  # of Arabic, Persian, Hindi and Bengali, and as wide as a letter of Chinese
_SPACES = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\u2212": "-", "\u2019": "'"}
    | {"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ",", "\uff0d": "-", "\uff05": "%", "\u066a": "%"}
    | {chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)}
)
_CURRENCIES = frozenset((
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR", "JPY", "KRW", "MXN",
    "NOK", "NZD", "PLN", "RON", "RUB", "SEK", "SGD", "THB", "TRY", "USD", "ZAR", "kr", "Kr", "Rs", "Fr", "z\u0142",
    "~", "\u2248",
))  # fmt: skip
"""Words and signs that may stand before a number: currencies, and "about", which can be left out as they can."""
_WITH_POINT = frozenset((
    "$", "US$", "USD", "\u00a3", "GBP", "\u00a5", "JPY", "CNY", "\u20b9", "INR", "Rs", "\u20a9", "KRW", "\u20aa",
    "ILS", "A$", "AUD", "NZ$", "NZD", "HK$", "HKD", "S$", "SGD", "MXN", "\u0e3f", "THB",
))  # fmt: skip
"""Currencies of countries where a comma groups thousands."""
_BRACKETS = re.compile(r"([^()\d]*)\(([^()]*\d[^()]*)\)([^()\d]*)", re.ASCII)
_FACTORS = frozenset((
    "k", "K", "M", "B", "bn", "Mio", "mio", "mn", "Mrd", "Tsd", "million", "billion", "Cr", "lakh", "crore",
))  # fmt: skip
"""Units without which a number is another one: 5 is not 5 M. Nor is it 5 %, if it may be a share."""
_FEW_TEXTS = 20
_SAMPLE = 10_000  # texts that the way of writing is guessed from


@dataclass(frozen=True)
class Writing:
    """The way in which the numbers of a column are written.

    A minus may be Unicode's, stand at the end, or be brackets; spaces may be such that do not break, and digits those
    of other scripts. Groups may be those of India: 1,23,456.

    Args:
        decimal: decimal mark, "." or ",".
        thousands: between groups of three digits: ",", ".", " ", "'", or "" for none.
        unit: before or after each number, such as "$", "%" or "km"; "" for none.

    Raises:
        ValueError: another mark, or twice the same.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.decimal not in DECIMALS or self.thousands not in {"", ",", ".", " ", "'"} - {self.decimal}:
            raise ValueError(
                f"writing: expected two marks for decimals and thousands, got {self.decimal!r}, {self.thousands!r}"
            )

    def number(self, text: str) -> float:
        """The number of a cell; one without the unit is fine, unless that is a factor such as M.

        Raises:
            ValueError: a text that is not written so.
        """
        stripped = text.strip()
        needed = _is_factor(self.unit)
        if not needed and _PLAIN.fullmatch(stripped) and (self.decimal == "." or "." not in stripped):
            return float(stripped)
        like = _like(stripped)
        own = self.unit.rstrip(".")  # as earlier versions kept it
        units = (own,) if needed else ("", own)
        if like is None or like.unit not in units or not like.fits(self.decimal, self.thousands):
            raise ValueError(f"expected a number, got {text!r}")
        digits = like.digits.replace(self.thousands, "") if self.thousands else like.digits
        return float(f"{like.sign}{digits.replace(self.decimal, '.')}{like.power}")

    def numbers(self, texts: Iterable[str | None], count: int) -> tuple[NDArray[np.float64], list[int]]:
        """Numbers of a column (n,), NaN for what is missing or is no number, and the positions of the latter."""
        found = np.full(count, np.nan)
        wrong, pattern = [], _usual(self)
        for position, text in enumerate(texts):
            usual = None if text is None else pattern.fullmatch(text)
            if usual:
                found[position] = float(usual[1].replace(self.thousands, "").replace(self.decimal, "."))
            elif text is not None:
                try:
                    found[position] = self.number(text)
                except ValueError:
                    wrong.append(position)
        return found, wrong


PLAIN = Writing()


@cache  # beside the writing, not in it, so that no pattern is stored with a model
def _usual(writing: Writing) -> re.Pattern[str]:
    """The most of the numbers, so that many are read fast."""
    unit, mark = re.escape(writing.unit), re.escape(writing.thousands)
    grouped = rf"|[1-9]\d{{0,2}}(?:{mark}\d{{3}})+" if mark else ""
    digits = rf"([+-]?(?:\d+{grouped})(?:{re.escape(writing.decimal)}\d*)?)"
    often = "" if _is_factor(writing.unit) else "?"
    return re.compile(rf"(?:{unit} ?)?{digits}(?: ?{unit}){often}", re.ASCII)


class UnclearError(ValueError):
    """Numbers or dates that can be read in several ways; the message says how."""


def detected_writing(texts: Sequence[str], *, decimal: str | None = None, likely: str | None = None) -> Writing | None:
    """The one way in which all texts of a column are written as numbers; None if there is none.

    Args:
        texts: what the column holds, without missing values.
        decimal: decimal mark, if it is known.
        likely: decimal mark where a column alone does not tell, as in 1,234.

    Raises:
        UnclearError: all are numbers, but in several units, or with a mark that may be decimal or group thousands.
    """
    if len(texts) > _SAMPLE:
        with suppress(UnclearError):
            guess = _detected(texts[:_SAMPLE], decimal, likely)
            if guess is not None and not guess.numbers(texts, len(texts))[1]:
                return guess
    return _detected(texts, decimal, likely)


def _detected(texts: Sequence[str], decimal: str | None, likely: str | None) -> Writing | None:
    found = _all_like(texts)
    if found is None:
        return None
    units = sorted({like.unit for like in found})
    bare = [like for like in found if not like.unit]
    if units[:1] == [""] and not any(map(_is_factor, units)) and not (units == ["", "%"] and any(map(_is_share, bare))):
        units = units[1:]  # some have none
    if len(units) > 1:
        if len(set(texts)) <= _FEW_TEXTS:
            return None
        raise UnclearError(
            f"expected numbers in one unit, got {_example(texts, found, units[0])!r} and "
            f"{_example(texts, found, units[1])!r}"
        )
    likely = likely or ("." if _WITH_POINT.intersection(units) else None)
    bodies = {like.digits for like in found}
    fitting = [
        (mark, thousands)
        for mark, thousands in ((".", ""), *_MARKS)
        if decimal in (None, mark) and all(like.fits(mark, thousands) for like in found)
    ]
    if not fitting:
        return None
    values = {pair: {body: _value(body, *pair) for body in bodies} for pair in fitting}
    plain = [pair for pair in fitting if pair == (".", "")]
    if plain and likely != ",":
        fitting = plain
    if likely is not None and any(pair[0] == likely for pair in fitting):
        fitting = [pair for pair in fitting if pair[0] == likely]
    first = values[fitting[0]]
    for other in fitting[1:]:
        if values[other] != first:
            mark = option("decimal", "'.'")
            example = next(body for body in sorted(bodies) if values[other][body] != first[body])
            raise UnclearError(
                f"expected a clear decimal mark, got {example!r}, whose mark may be decimal or group thousands (set "
                f"{mark} for {_value(example, '.', ',')} or ',' for {_value(example, ',', '.')})"
            )
    return Writing(*fitting[0], unit=units[0] if units else "")


@dataclass(frozen=True)
class _Like:
    """The parts of a text that looks like a number."""

    sign: str
    digits: str
    power: str
    unit: str

    def fits(self, decimal: str, thousands: str) -> bool:
        """Tell if the digits are written with these marks; those before a power of ten are never grouped."""
        return _fits(self.digits, decimal, "" if self.power else thousands)


def looks_like_number(text: str) -> bool:
    """Tell whether a text is a number in some way of writing."""
    return _like(text.strip()) is not None


def looks_plain(text: str) -> bool:
    """Tell whether a text is a number in digits with a decimal point."""
    return _PLAIN.fullmatch(text.strip()) is not None


def _like(text: str) -> _Like | None:
    if _PLAIN.fullmatch(text):
        if text[-1] in "fyFY":  # infinity
            return None
        sign = text[0] if text[0] in "+-" else ""
        digits, mark, power = text.lstrip("+-").lower().partition("e")
        return _Like(sign, digits, mark + power, "")
    text = text.translate(_SPACES).removesuffix("/-")  # rupees without paise, not less than none
    bracketed = _BRACKETS.fullmatch(text)
    negative = bracketed is not None or text.endswith("-")
    text = "".join(bracketed.groups()) if bracketed else text.removesuffix("-").rstrip()
    outer = text[:1] if text[:1] in {"+", "-"} else ""
    match = _LIKE.fullmatch(text[len(outer) :].strip())
    if match is None or (outer and match["sign"]) or (negative and (outer or match["sign"])):
        return None
    before, after = ((match[name] or "").strip().rstrip(".") for name in ("before", "after"))
    if (before and after) or (before and not _is_currency(before)):
        return None
    return _Like("-" if negative else outer or match["sign"], match["digits"], match["power"] or "", before or after)


def _all_like(texts: Iterable[str]) -> list[_Like] | None:
    found = []
    for text in texts:
        like = _like(text.strip())
        if like is None:
            return None
        found.append(like)
    return found


def _is_factor(unit: str) -> bool:
    return unit.partition(" ")[0].rstrip(".") in _FACTORS


def _is_share(like: _Like) -> bool:
    """Tell if a number without a unit, among percentages, may be a share of 1: it has decimals and is below 1."""
    return not like.power and re.fullmatch(r"0?[.,]0*[1-9]\d*", like.digits) is not None


def _is_currency(text: str) -> bool:
    return text in _CURRENCIES or any(unicodedata.category(one) == "Sc" for one in text)


def _fits(digits: str, decimal: str, thousands: str) -> bool:
    whole, _, fraction = digits.partition(decimal)
    if fraction and not fraction.isdecimal():
        return False
    if not thousands or thousands not in whole:
        return whole.isdecimal() or (whole == "" and fraction != "")
    first, *groups = whole.split(thousands)
    sizes = {len(group) for group in groups[:-1]} | {3}
    grouped = 1 <= len(first) <= 3 and first[0] != "0" and len(groups[-1]) == 3
    indian = thousands == "," and sizes == {2, 3} and len(first) < 3 and all(len(group) == 2 for group in groups[:-1])
    return grouped and (sizes == {3} or indian) and "".join((first, *groups)).isdecimal()


def _value(digits: str, decimal: str, thousands: str) -> str:
    return (digits.replace(thousands, "") if thousands else digits).replace(decimal, ".")


def _example(texts: Sequence[str], found: Sequence[_Like], unit: str) -> str:
    return next(text for text, like in zip(texts, found, strict=True) if like.unit == unit)
