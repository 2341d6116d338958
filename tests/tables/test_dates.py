import numpy as np
import pytest

from conr.tables.dates import date_numbers, detected_order, parse_dates
from conr.tables.numbers import UnclearError


@pytest.mark.parametrize(
    ("texts", "order", "second"),
    [
        (["2021-01-01", "2024-02-29"], "year-month-day", "2024-02-29"),
        (["1.2.2021", "13.01.2021"], "day.month.year", "2021-01-13"),
        (["1/2/2021", "1/13/2021"], "month/day/year", "2021-01-13"),
        (["2021-01-01T00:00:00Z", "2021-01-02 12:30"], "year-month-day", "2021-01-02T12:30"),
    ],
)
def test_orders_of_day_month_and_year(texts: list[str], order: str, second: str) -> None:
    assert detected_order(texts) == order
    assert parse_dates([*texts, None], order)[1] == np.datetime64(second)
    assert np.isnat(parse_dates([None, "2021-02-30"], order)).all()


def test_what_is_no_date_or_may_be_two() -> None:
    assert detected_order(["2021-02-30"]) is None
    assert detected_order([]) is None
    with pytest.raises(UnclearError, match=r"got '1/2/2021', which may be day\.month\.year or month/day/year"):
        detected_order(["1/2/2021", "3/4/2021"])


def test_numbers_of_a_date() -> None:
    numbers = date_numbers(np.array(["1970-01-01", "2024-02-29T12:00", "NaT"], dtype="datetime64[s]"))
    assert numbers[0].tolist() == [1970, 1, 3, 0]  # a Thursday
    assert numbers[1].tolist() == [2024, 2, 3, 19782.5]
    assert np.isnan(numbers[2]).all()
