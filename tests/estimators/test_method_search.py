"""`ConRRegressor(method="auto")`: what it chooses, and by which rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from conr.estimators import ConRRegressor
from conr.estimators.method_search import METHODS

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 16, "random_state": 0, "device": "cpu"}
Array = NDArray[np.float64]


def table(seed: int, n: int = 240) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(n, 3))
    return inputs, np.exp(inputs[:, 0]) + 0.1 * inputs[:, 1]


@pytest.fixture(scope="module")
def model() -> ConRRegressor:
    return ConRRegressor("auto", **SMALL).fit(*table(0))


def test_the_better_half_goes_on_and_the_best_is_trained(model: ConRRegressor) -> None:
    first, second = ([one for one in model.search_ if one["round"] == number] for number in (1, 2))
    assert len(first) + len(second) == len(model.search_)
    assert [(one["method"], one["epochs"]) for one in first] == [(name, 2) for name in METHODS]
    better = sorted(first, key=lambda one: one["bmae"])[:2]
    assert [(one["method"], one["epochs"]) for one in second] == [(one["method"], 4) for one in better]
    assert model.method_ == min(second, key=lambda one: one["bmae"])["method"]
    assert model.method == "auto"
    alone = ConRRegressor(model.method_, **SMALL).fit(*table(0))
    np.testing.assert_array_equal(alone.predict(table(1)[0]), model.predict(table(1)[0]))
    assert (alone.method_, alone.search_) == (model.method_, [])


def test_validation_rows_alone_judge() -> None:
    train, validation = table(0), table(1, 60)
    model = ConRRegressor("auto", **SMALL).fit(*train, eval_set=validation)
    for found in (model.search_[0], model.search_[-1]):
        settings = {**SMALL, "max_epochs": found["epochs"]}
        again = ConRRegressor(found["method"], **settings).fit(*train, eval_set=validation)
        errors = torch.from_numpy(np.abs(again.predict(validation[0]) - validation[1]))
        index = again.bins_.index(torch.from_numpy(validation[1]))
        balanced = np.mean([errors[index == one].mean() for one in set(index.tolist())])
        assert found["bmae"] == pytest.approx(balanced / train[1].std(), rel=1e-4)


def test_random_labels_teach_nothing_about_new_rows() -> None:
    """Whatever is chosen, rows that nobody has seen are predicted no better than by a constant."""
    ratios = []
    for seed in range(2):
        random = np.random.default_rng(seed)
        inputs, labels = random.normal(size=(300, 4)), random.uniform(size=300)
        model = ConRRegressor("auto", **{**SMALL, "random_state": seed}).fit(inputs, labels)
        new, unseen = random.normal(size=(4000, 4)), random.uniform(size=4000)
        ratios.append(np.abs(model.predict(new) - unseen).mean() / np.abs(0.5 - unseen).mean())
    assert min(ratios) > 0.98


def test_the_choice_is_kept_with_the_model(model: ConRRegressor, tmp_path: Path) -> None:
    loaded = ConRRegressor.load(model.save(tmp_path))
    assert (loaded.method, loaded.method_) == ("auto", model.method_)
    assert [one["method"] for one in loaded.search_] == [one["method"] for one in model.search_]
    np.testing.assert_array_equal(loaded.predict(table(1)[0]), model.predict(table(1)[0]))
    assert clone(model).method == "auto"


def test_a_choice_needs_validation_rows() -> None:
    message = 'method: expected an eval_set with "auto", or rows enough for a validation part of ten or more'
    with pytest.raises(ValueError, match=message):
        ConRRegressor("auto", **SMALL).fit(*table(0, 20))


def test_rows_that_chose_train_the_network_unless_it_is_to_stop_early() -> None:
    counts = [
        int(ConRRegressor("auto", early_stopping=early, **SMALL).fit(*table(0)).density_.counts.sum())
        for early in (False, True)
    ]
    assert counts[0] == 240
    assert counts[1] < 240


def test_half_of_the_time_is_for_the_choice() -> None:
    settings = {**SMALL, "max_epochs": 100_000, "patience": 100_000, "time_limit": 0.0}
    model = ConRRegressor("auto", **settings).fit(*table(0))
    assert [one["method"] for one in model.search_] == ["vanilla"]
    assert len(model.history_) == 1
