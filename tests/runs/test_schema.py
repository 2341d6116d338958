import re
from typing import Any

import pytest

from conr.density.regions import REGIONS
from conr.runs.schema import check

KIND = {
    "name": str,
    "size?": (range(1, 2**31), None),
    "parts": [{"at": float, ...: object}],
    "region": REGIONS,
    "of": (None, [int]),
}
GOOD: dict[str, Any] = {"name": "a", "parts": [{"at": 1, "more": []}], "region": "few", "of": [1, -3]}


@pytest.mark.parametrize("changes", [{}, {"size": 9}, {"size": None}, {"of": None}, {"parts": []}])
def test_good_values(changes: dict[str, Any]) -> None:
    check("f.json", GOOD | changes, KIND)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name: expected a text, got 3"),
        ({"size": 0}, "size: expected a whole number of at least 1 or null, got 0"),
        ({"size": True}, "size: expected a whole number of at least 1 or null, got True"),
        ({"parts": {}}, "parts: expected a list, got {}"),
        ({"parts": [{"at": 1}, {}]}, "expected the key 'parts[1].at', found none"),
        ({"parts": [{"at": 10**30}]}, "parts[0].at: expected a number, got 1000"),
        ({"parts": [{"at": 10**400}]}, "parts[0].at: expected a number, got 1000"),
        ({"parts": [{"at": float("nan")}]}, "parts[0].at: expected a number, got nan"),
        ({"region": "all"}, "region: expected 'many' or 'median' or 'few', got 'all'"),
        ({"of": [2**63]}, "of[0]: expected a whole number, got 9223372036854775808"),
        ({"of": "12"}, "of: expected null or a list, got '12'"),
        ({"other": 1}, "names: expected name, size, parts, region, of, got 'other', too"),
    ],
)
def test_a_value_of_another_kind_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"f.json: {message}")):
        check("f.json", GOOD | changes, KIND)
