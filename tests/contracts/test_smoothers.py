from collections.abc import Callable

from tests.contracts.smoothers import SMOOTHERS

from conr.testing import smoother_contract


@smoother_contract(SMOOTHERS)
def test_smoother(check: Callable[[], None]) -> None:
    check()
