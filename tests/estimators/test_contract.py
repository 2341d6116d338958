"""scikit-learn's own checks, with and without preprocessing."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from conr.estimators import ConRRegressor

EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row that comes twice lies in the batches twice, and counts twice in its label bin"
    )
}
SMALL = {"members": 2, "width": 16, "max_epochs": 1}


def expected(estimator: Any) -> dict[str, str]:
    return EXPECTED


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([ConRRegressor(**SMALL)], expected_failed_checks=expected)  # type: ignore[untyped-decorator]
def test_estimator(estimator: Any, check: Callable[[Any], None]) -> None:
    if getattr(check, "func", check).__name__ == "check_regressors_train":
        estimator.set_params(max_epochs=40, learning_rate=0.01)  # the only check that wants it to have learnt
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([ConRRegressor(preprocess=False, **SMALL)], expected_failed_checks=expected)  # type: ignore[untyped-decorator]
def test_estimator_without_preprocessing(estimator: Any, check: Callable[[Any], None]) -> None:
    if getattr(check, "func", check).__name__ == "check_regressors_train":
        estimator.set_params(max_epochs=40, learning_rate=0.01)
    check(estimator)
