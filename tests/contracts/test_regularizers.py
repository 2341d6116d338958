from collections.abc import Callable

from tests.contracts.registry import REGULARIZERS

from conr.testing import regularizer_contract


@regularizer_contract(REGULARIZERS)
def test_regularizer(check: Callable[[], None]) -> None:
    check()
