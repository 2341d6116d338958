from collections.abc import Callable

from tests.contracts.criteria import CRITERIA

from conr.testing import criterion_contract


@criterion_contract(CRITERIA)
def test_criterion(check: Callable[[], None]) -> None:
    check()
