import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from conr.density import Bins
from conr.metrics import Relevance
from conr.rare import BinnedKFold, rare_scorer

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 2))
Y = np.exp(X[:, 0])
BINS = Bins.by_width(Y, width=1, low=0)
MODEL = Ridge().fit(X, Y)
ERRORS = np.abs(MODEL.predict(X) - Y)
COUNTS = np.array([(np.floor(Y) == np.floor(one)).sum() for one in Y])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mae", -ERRORS.mean()),
        ("few_mae", -ERRORS[COUNTS < 20].mean()),
        ("many_rmse", -np.sqrt((ERRORS[COUNTS > 100] ** 2).mean())),
        ("bmae", -np.mean([ERRORS[np.floor(Y) == one].mean() for one in np.unique(np.floor(Y))])),
        ("pearson", np.corrcoef(MODEL.predict(X), Y)[0, 1]),
        ("sera", -(Relevance.of_labels(Y)(Y).numpy() * ERRORS**2).sum()),
    ],
)
def test_scores(name: str, expected: float) -> None:
    scorer = rare_scorer(name, Y, bins=BINS)
    assert scorer(MODEL, X, Y) == pytest.approx(expected)
    assert pickle.loads(pickle.dumps(scorer))(MODEL, X, Y) == pytest.approx(expected)  # noqa: S301  our own bytes


def test_scorers_choose_models_and_know_labels_beyond_the_training_ones() -> None:
    scorer = rare_scorer("few_mae", Y, bins=BINS)
    folds = BinnedKFold(3, bins=BINS, random_state=0)
    assert np.isfinite(cross_val_score(Ridge(), X, Y, cv=folds, scoring=scorer)).all()
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e6]}, cv=folds, scoring={"few": scorer, "all": "r2"}, refit="few")
    assert search.fit(X, Y).best_params_ == {"alpha": 1.0}
    assert np.isfinite(scorer(MODEL, X[:1], np.array([1e6])))
    assert np.isnan(scorer(MODEL, X[:1], np.array([1.0])))  # no few-shot row


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mae_few", {}, "name: expected one of .*, got 'mae_few'"),
        ("few_sera", {}, "name: expected one of .*, got 'few_sera'"),
        ("mae", {"relevance": Relevance([(0, 0), (1, 1)])}, "relevance: expected the name 'sera' to go with it"),
    ],
)
def test_wrong_arguments(name: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rare_scorer(name, Y, **more)
