from datetime import datetime

import numpy as np
import pytest

from conr.tables.dates import compact_dates, date_numbers, detected_order, parse_dates, read_dates
from conr.tables.numbers import UnclearError


def order_of(texts: list[str], first: str | None = None) -> str | None:
    return detected_order(dict.fromkeys(texts, 1), first)


@pytest.mark.parametrize(
    ("texts", "order", "second"),
    [
        (["2021-01-01", "2024-02-29"], "year-month-day", "2024-02-29"),
        (["2020-01", "2020-12"], "year-month-day", "2020-12-01"),
        (["2021/1/1", "2021/12/31"], "year-month-day", "2021-12-31"),
        (["1.2.2021", "13.01.2021"], "day.month.year", "2021-01-13"),
        (["01/2020", "12/2021"], "day.month.year", "2021-12-01"),
        (["01.02.21", "13.01.99"], "day.month.year", "1999-01-13"),
        (["1/2/2021", "1/13/2021"], "month/day/year", "2021-01-13"),
        (["1/2/21", "1/13/21"], "month/day/year", "2021-01-13"),
        (["05-Jan-2020", "29-Feb-2020"], "month by name", "2020-02-29"),
        (["January 05, 2020", "May 1, 2020"], "month by name", "2020-05-01"),
        (["5 January 2020", "12th Sept. 2020"], "month by name", "2020-09-12"),
        (["Mon, 06 Jan 2020 10:00:00 GMT", "Tue, 07 Jan 2020 10:00:00 GMT"], "month by name", "2020-01-07T10:00"),
        (["01JAN2020", "02feb2020"], "month by name", "2020-02-02"),
        (["2021-01-01T00:00:00Z", "2021-01-02 12:30"], "year-month-day", "2021-01-02T12:30"),
        (["2021-01-01", "2021-01-02T01:30:00+02:00"], "year-month-day", "2021-01-01T23:30"),
        (["2021-01-01", "2021-01-02 01:30:00.123456789-0530"], "year-month-day", "2021-01-02T07:00"),
        (["1/13/2021 3:04 PM", "1/14/2021 12:00 a.m."], "month/day/year", "2021-01-14"),
        (["3:04 PM", "12:30 AM"], "time of day", "1900-01-01T00:30"),
    ],
)
def test_orders_of_day_month_and_year(texts: list[str], order: str, second: str) -> None:
    assert order_of(texts) == order
    assert parse_dates([*texts, None], order)[1] == np.datetime64(second)
    assert np.isnat(parse_dates([None, "2021-02-30"], order)).all()


@pytest.mark.parametrize(
    "texts", [["2021-02-30"], [], ["1.2.19", "1.10.2"], ["12:345"], ["75:30", "12:30"], ["red", "May"]]
)
def test_what_is_no_date(texts: list[str]) -> None:
    assert order_of(texts) is None


def test_day_and_month_are_told_by_the_whole_column_or_asked_for() -> None:
    open_ = ["1/2/2021", "3/4/2021"]
    message = r"got '1/2/2021', which may be day\.month\.year or month/day/year \(set dates: day-first or"
    with pytest.raises(UnclearError, match=message):
        order_of(open_)
    assert order_of(open_, "day-first") == "day.month.year"
    assert order_of(open_, "month-first") == "month/day/year"
    assert order_of(open_, "none") is None
    with pytest.raises(UnclearError, match=r"got '20-01-05', which may be year-month-day or day\.month\.year"):
        order_of(["20-01-05", "21-11-25"])
    assert order_of(["20-01-05", "21-11-25"], "year-first") == "year-month-day"
    assert order_of([*open_, "13/1/2021", "unknown"]) == "day.month.year"
    assert order_of([*open_, "1/13/2021", "unknown"]) == "month/day/year"
    assert order_of(["1/1/2021", "2/2/2021"]) is not None  # either says the same
    assert detected_order({"2021-01-01": 2, "unknown": 3}) is None


@pytest.mark.parametrize("order", ["day.month.year", "month/day/year", "month by name"])
@pytest.mark.parametrize(
    "text", ["2022-03-04", "2022/3/4", "2022-03-04T00:00:00Z", "2022.03.04", "20220304", "4 March 2022", "Mar 4, 2022"]
)
def test_clear_dates_are_read_among_those_of_another_order(text: str, order: str) -> None:
    own = {"day.month.year": "31.12.2021", "month/day/year": "12/31/2021", "month by name": "31-Dec-2021"}[order]
    found = read_dates([own, text, None, "2022-13-04", "unknown"], order)
    assert found[:2].tolist() == [datetime(2021, 12, 31), datetime(2022, 3, 4)]
    assert np.isnat(found[2:]).all()


def test_times_of_day_are_no_dates() -> None:
    assert np.isnat(read_dates(["2022-03-04"], "time of day")).all()
    assert np.isnat(read_dates(["04.03.2022"], "year-month-day")).all()  # may be in April


def test_dates_in_digits_are_told_from_other_numbers() -> None:
    assert compact_dates(np.array([20200101, np.nan, 20240229]))
    for wrong in (20200230, 20201301, 20200100, 20200101.5, 18991231, 0):
        assert not compact_dates(np.array([20200101, wrong]))
    assert not compact_dates(np.array([np.nan]))


def test_numbers_of_a_date() -> None:
    numbers = date_numbers(np.array(["1970-01-01", "2024-02-29T12:00", "NaT"], dtype="datetime64[s]"))
    assert numbers[0].tolist() == [1970, 1, 3, 0]  # a Thursday
    assert numbers[1].tolist() == [2024, 2, 3, 19782.5]
    assert np.isnan(numbers[2]).all()
