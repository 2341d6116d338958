"""Contracts as tests: whoever writes a regularizer, a criterion or a smoother gets the checks that ours pass.

A test file of three lines is enough::

    from conr.testing import RegularizerCase, contract

    @contract({"mine": RegularizerCase(MyRegularizer, {"window": 1.0})})
    def test_my_regularizer(check):
        check()

Not loaded by ``import conr``.
"""

from conr._extras import require

require("conr.testing", "pytest", "hypothesis")

import pytest  # noqa: E402  the check comes first

pytest.register_assert_rewrite("conr.testing.contract", "conr.testing.losses", "conr.testing.smoothers")

from conr.testing.batches import TOLERANCE, Batch, Tolerance, batches, make_batch  # noqa: E402
from conr.testing.contract import Case, checks_of, contract  # noqa: E402
from conr.testing.losses import CriterionCase, RegularizerCase  # noqa: E402
from conr.testing.smoothers import SmootherCase  # noqa: E402

REGULARIZER_CHECKS = checks_of(RegularizerCase)
CRITERION_CHECKS = checks_of(CriterionCase)
SMOOTHER_CHECKS = checks_of(SmootherCase)
regularizer_contract = criterion_contract = smoother_contract = contract

__all__ = [
    "CRITERION_CHECKS",
    "REGULARIZER_CHECKS",
    "SMOOTHER_CHECKS",
    "TOLERANCE",
    "Batch",
    "Case",
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
