from typing import Any

import numpy as np
import pytest

from conr.estimators.blending import JudgedRows, blend, held_out_blend

RANDOM = np.random.default_rng(0)
N = 600
LABELS = RANDOM.normal(size=N)
FOLD = np.arange(N) % 5
ONES = np.ones(N)


def rows(labels: Any = LABELS, *, common: Any = ONES, shares: Any = ONES) -> JudgedRows:
    return JudgedRows(labels, FOLD, shares, common)


def error(predictions: Any, weights: Any, chosen: Any = slice(None)) -> float:
    return float(np.abs(weights @ predictions - LABELS)[chosen].mean())


def test_two_with_errors_of_their_own_share_the_blend_and_a_third_is_left_out() -> None:
    noise = RANDOM.normal(size=(2, N)) * 0.5
    predictions = np.stack((LABELS + noise[0], LABELS + noise[1], LABELS + 5))
    weights = blend(predictions, rows())
    assert weights.sum() == pytest.approx(1)
    assert weights[:2] == pytest.approx([0.5, 0.5], abs=0.15)
    assert weights[2] == 0
    assert error(predictions, weights) < 0.8 * min(np.abs(noise).mean(axis=1))


def test_a_gain_that_other_rows_do_not_confirm_is_none() -> None:
    """Candidates that differ by noise alone in where they are right: the best single one stays alone."""
    base = LABELS + RANDOM.normal(size=N) * 0.5
    predictions = np.stack([base, *(base + RANDOM.normal(size=N) * 0.5 for _ in range(20))])
    assert blend(predictions, rows()).tolist() == [1, *[0] * 20]


def test_shares_say_what_counts() -> None:
    rare = np.arange(N) < 60
    predictions = np.stack((LABELS + np.where(rare, 2, 0), LABELS + np.where(rare, 0.1, 1)))
    assert blend(predictions, rows()).argmax() == 0
    assert blend(predictions, rows(shares=rare * 1.0)).argmax() == 1


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.2, 1.0])
def test_the_loss_on_common_rows_stays_below_the_limit_on_rows_that_did_not_choose(limit: float) -> None:
    """Candidates from good for the common rows to good for the rare ones."""
    common = np.arange(N) >= 200
    predictions = np.stack(
        [LABELS + RANDOM.normal(size=N) * np.where(common, 0.5 + step, 4 - 3 * step) for step in np.linspace(0, 1, 9)]
    )
    best = np.abs(predictions - LABELS)[:, common].mean(axis=1).min()
    weights = blend(predictions, rows(common=common * 1.0, shares=~common * 1.0), max_loss=limit)
    assert error(predictions, weights, common) <= (1 + limit) * best + 1e-12
    free = blend(predictions, rows(common=common * 1.0, shares=~common * 1.0))
    assert error(predictions, free, ~common) <= error(predictions, weights, ~common) + 1e-12
    assert error(predictions, free, common) > 1.2 * best
    found = held_out_blend(predictions, rows(common=common * 1.0, shares=~common * 1.0), max_loss=limit)
    assert np.abs(found - LABELS)[common].mean() <= (1 + limit) * best * 1.05


def test_held_out_predictions_know_nothing_of_the_labels_of_their_fold() -> None:
    predictions = LABELS + RANDOM.normal(size=(6, N))
    first = held_out_blend(predictions, rows())
    other = LABELS.copy()
    other[FOLD == 2] = RANDOM.normal(size=(FOLD == 2).sum())
    again = held_out_blend(predictions, rows(other))
    assert (first[FOLD == 2] == again[FOLD == 2]).all()


def test_random_labels_gain_nothing_by_the_choice() -> None:
    """30 candidates that know nothing, of which some look good: the blend's own error does not."""
    promised, kept, looks = [], [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        labels, predictions = random.normal(size=200), random.normal(size=(30, 200)) * 0.3
        new_labels, new_predictions = random.normal(size=4000), random.normal(size=(30, 4000)) * 0.3
        judged = JudgedRows(labels, np.arange(200) % 5, np.ones(200), np.ones(200))
        weights = blend(predictions, judged)
        kept.append(np.abs(weights @ new_predictions - new_labels).mean())
        promised.append(np.abs(held_out_blend(predictions, judged) - labels).mean())
        looks.append(np.abs(predictions - labels).mean(axis=1).min())
    error_of_mean = np.std(np.subtract(promised, kept)) / np.sqrt(20)
    assert np.mean(looks) < np.mean(kept) - 3 * error_of_mean  # the best of many flatters itself
    assert abs(np.mean(promised) - np.mean(kept)) < 3 * error_of_mean


def test_a_candidate_that_is_not_plain_replaces_the_start_only_if_other_rows_confirm_it() -> None:
    errors = np.random.default_rng(1).normal(size=N)
    luck = LABELS + errors * np.where(FOLD == 0, 0.5, 1.05)  # better over all rows, by one fold alone
    plain = np.array([True, False])
    assert blend(np.stack((LABELS + errors, luck)), rows()).argmax() == 1
    assert blend(np.stack((LABELS + errors, luck)), rows(), plain=plain).tolist() == [1, 0]
    assert blend(np.stack((LABELS + errors, LABELS + errors / 2)), rows(), plain=plain).argmax() == 1
