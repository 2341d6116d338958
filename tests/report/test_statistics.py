import itertools
import math

import numpy as np
import pytest
from scipy import stats

from conr.report.statistics import average_ranks, holm, signed_rank


def test_signed_rank_by_hand() -> None:
    """Ranks 1 to 6; only 2 and 3 are positive: W+ = 2 + 3 = 5 of 21, W- = 16.

    Of 64 signs, those with W+ <= 5 are the sets {}, 1, 2, 3, 4, 5, 12, 13, 14, 23: 10, and as many at the other end.
    """
    found = signed_rank([-1.0, 2.0, 3.0, -4.0, -5.0, -6.0])
    assert (found.wins, found.ties, found.losses) == (4, 0, 2)
    assert found.effect == pytest.approx((5 - 16) / 21)
    assert found.p == pytest.approx(20 / 64)


@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_against_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    differences = random.normal(0.3, 1, random.integers(6, 45))
    expected = stats.wilcoxon(differences, method="exact")
    assert signed_rank(differences).p == pytest.approx(expected.pvalue, rel=1e-9)
    smaller = min(differences[differences > 0].size, differences[differences < 0].size)
    assert signed_rank(differences).wins + signed_rank(differences).losses == len(differences)
    assert smaller == min(signed_rank(differences).wins, signed_rank(differences).losses)


def test_signed_rank_with_shared_ranks_counts_all_signs() -> None:
    """Against all 2^8 signs one by one, with mean ranks; the zero is left out."""
    differences = np.asarray([1.0, -1.0, 2.0, 2.0, -2.0, 3.0, 0.0, 4.0, 4.0])
    ranks = stats.rankdata(np.abs(differences[differences != 0]))
    observed = abs(float(np.sum(ranks * np.sign(differences[differences != 0]))))
    sums = [abs(float(np.dot(signs, ranks))) for signs in itertools.product((-1, 1), repeat=len(ranks))]
    found = signed_rank(differences)
    assert found.ties == 1
    assert found.p == pytest.approx(sum(one >= observed for one in sums) / len(sums))


def test_signed_rank_changes_sign_with_its_input() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, 12)
    one, other = signed_rank(differences), signed_rank(-differences)
    assert (one.wins, one.losses, one.p) == (other.losses, other.wins, other.p)
    assert one.effect == -other.effect


def test_signed_rank_of_too_few_pairs_has_no_p() -> None:
    found = signed_rank([-1.0, -2.0, -3.0, -4.0, -5.0, 0.0])  # five differ
    assert math.isnan(found.p)
    assert found[:4] == (5, 1, 0, -1.0)
    nothing = signed_rank([])
    assert nothing[:3] == (0, 0, 0)
    assert math.isnan(nothing.effect)
    equal = signed_rank(np.zeros(8))
    assert equal[:3] == (0, 8, 0)
    assert math.isnan(equal.effect)
    assert math.isnan(equal.p)


def test_holm_by_hand() -> None:
    # sorted 0.01 0.02 0.03 0.5 times 4 3 2 1: 0.04 0.06 0.06 0.5, never falling
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_tests_that_were_not_made() -> None:
    first, second, third = holm([0.01, math.nan, 0.04])
    assert (first, third) == (0.02, 0.04)
    assert math.isnan(second)


def test_critical_values_are_those_of_the_source() -> None:
    """Demsar 2006, table 5a: q at 0.05 for 2 to 10 classifiers; N = 6 k (k + 1) makes CD = q / 6."""
    published = {3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102, 10: 3.164}
    for methods, quantile in published.items():
        errors = np.tile(np.arange(float(methods)), (6 * methods * (methods + 1), 1))
        assert average_ranks(errors).critical_difference * 6 == pytest.approx(quantile, abs=1.5e-3)


def test_example_of_the_source() -> None:
    """Demsar 2006, section 3.2.4: ranks 3.143 2.000 2.893 1.964 of 4 methods on 14 datasets, CD 1.25 at 0.05."""
    ranks = np.asarray([3.143, 2.000, 2.893, 1.964])
    expected = 12 * 14 / (4 * 5) * (np.sum(ranks**2) - 4 * 5**2 / 4)
    assert expected == pytest.approx(9.28, abs=0.01)
    found = average_ranks(np.random.default_rng(0).normal(size=(14, 4)))
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    own = 12 * 14 / (4 * 5) * (np.sum(found.ranks**2) - 4 * 5**2 / 4)  # the source's formula, no ties here
    assert found.chi2 == pytest.approx(own)
    assert found.p == pytest.approx(stats.chi2.sf(own, 3))


def test_ranks_with_ties() -> None:
    found = average_ranks([[1.0, 1.0, 3.0], [2.0, 1.0, 2.0]])
    assert found.ranks.tolist() == [2.0, 1.25, 2.75]  # 1.5 1.5 3 and 2.5 1 2.5
    same = average_ranks(np.ones((3, 4)))
    assert same.ranks.tolist() == [2.5] * 4
    assert math.isnan(same.p)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones((1, 3)), r"errors: expected at least 2 datasets \(rows\) and 3 methods \(columns\), got \(1, 3\)"),
        (np.ones((2, 2)), "errors: expected at least 2 datasets"),
        (np.ones(3), "errors: expected at least 2 datasets"),
        (np.full((2, 3), np.nan), "errors: expected finite numbers, got NaN or infinity"),
    ],
)
def test_errors_of_ranks(errors: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        average_ranks(errors)
