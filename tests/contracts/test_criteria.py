from collections.abc import Callable

from tests.contracts.criteria import CRITERIA, VARIANTS
from tests.contracts.test_regularizers import VALUES

from conr.testing import contract


@contract(CRITERIA)
def test_criterion(check: Callable[[], None]) -> None:
    check()


@contract(VARIANTS, only=VALUES)
def test_criterion_with_other_settings(check: Callable[[], None]) -> None:
    check()
