from collections.abc import Callable

import pytest
from tests.contracts.registry import REGULARIZERS

from conr.testing import regularizer_contract


# After a graph break torch looks at .grad of what comes next, and hides its own warning only if warnings are no errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@regularizer_contract(REGULARIZERS)
def test_regularizer(check: Callable[[], None]) -> None:
    check()
