from collections.abc import Callable

import pytest
from tests.contracts.registry import REGULARIZERS, VARIANTS

from conr.testing import contract

VALUES = ("equals_its_oracle", "gradient_equals_finite_differences")


# After a graph break torch looks at .grad of what comes next, and hides its own warning only if warnings are no errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@contract(REGULARIZERS)
def test_regularizer(check: Callable[[], None]) -> None:
    check()


@contract(VARIANTS, only=VALUES)
def test_regularizer_with_other_settings(check: Callable[[], None]) -> None:
    check()
