from collections.abc import Callable

import pytest
from tests.contracts.registry import DRAWN, ENGINES, REGULARIZERS, VARIANTS

from conr.testing import REGULARIZER_CHECKS, contract

VALUES = ("equals_its_oracle", "gradient_equals_finite_differences")
OF_ARGUMENTS = {
    "compiles_to_the_same_value",
    "flat_labels_are_one_dimension",
    "survives_pickle_copy_and_state_dict",
    "text_shows_the_settings",
    "weights_default_to_one",
    "wrong_inputs_are_refused",
    "wrong_settings_are_refused",
}


# After a graph break torch looks at .grad of what comes next, and hides its own warning only if warnings are no errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@contract(REGULARIZERS)
def test_regularizer(check: Callable[[], None]) -> None:
    check()


@contract(ENGINES, only=REGULARIZER_CHECKS.keys() - OF_ARGUMENTS)
def test_regularizer_by_another_engine(check: Callable[[], None]) -> None:
    check()


@contract(DRAWN, only=REGULARIZER_CHECKS.keys() - OF_ARGUMENTS - {"equals_its_oracle"})
def test_regularizer_that_draws(check: Callable[[], None]) -> None:
    check()


@contract(VARIANTS, only=VALUES)
def test_regularizer_with_other_settings(check: Callable[[], None]) -> None:
    check()
