"""Contracts as tests: whoever writes a regularizer, a criterion or a smoother gets the checks that ours pass.

A test file of three lines is enough::

    from conr.testing import RegularizerCase, regularizer_contract

    @regularizer_contract({"mine": RegularizerCase(MyRegularizer, {"window": 1.0})})
    def test_my_regularizer(check):
        check()

Not loaded by ``import conr``.
"""

from conr._extras import require

require("conr.testing", "pytest", "hypothesis")

import pytest  # noqa: E402  the check comes first

pytest.register_assert_rewrite(
    "conr.testing.common", "conr.testing.criteria", "conr.testing.regularizers", "conr.testing.smoothers"
)

from conr.testing.common import TOLERANCE, Batch, Tolerance, batches, contract, make_batch  # noqa: E402
from conr.testing.criteria import CRITERION_CHECKS, CriterionCase, criterion_contract  # noqa: E402
from conr.testing.regularizers import REGULARIZER_CHECKS, RegularizerCase, regularizer_contract  # noqa: E402
from conr.testing.smoothers import SMOOTHER_CHECKS, SmootherCase, smoother_contract  # noqa: E402

__all__ = [
    "CRITERION_CHECKS",
    "REGULARIZER_CHECKS",
    "SMOOTHER_CHECKS",
    "TOLERANCE",
    "Batch",
    "CriterionCase",
    "RegularizerCase",
    "SmootherCase",
    "Tolerance",
    "batches",
    "contract",
    "criterion_contract",
    "make_batch",
    "regularizer_contract",
    "smoother_contract",
]
