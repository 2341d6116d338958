from collections.abc import Callable

from tests.contracts.smoothers import SMOOTHERS, VARIANTS
from tests.contracts.test_regularizers import VALUES

from conr.testing import contract


@contract(SMOOTHERS)
def test_smoother(check: Callable[[], None]) -> None:
    check()


@contract(VARIANTS, only=(*VALUES, "batches_of_an_epoch_count_as_one"))
def test_smoother_with_other_settings(check: Callable[[], None]) -> None:
    check()
