"""scikit-learn's checks of an estimator, as one test."""

from typing import Any

from sklearn.utils.estimator_checks import check_estimator
from tests.versions import is_before


def failed_checks(estimator: Any) -> dict[str, Any]:
    """Names and errors of the checks that fail.

    Args:
        estimator: a regressor that is not fitted.
    """
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert sum(one["status"] == "passed" for one in results) > 40
    failed = {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}
    if is_before("scikit-learn", 1, 9):
        failed.pop("check_positive_only_tag_during_fit", None)  # there the check itself fails with whole numbers
    return failed
