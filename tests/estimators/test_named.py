from typing import Any

import pytest

from conr.estimators import ConRRegressor, EncodedRegressor, RareRegressor, meant_regressor, named_regressor


def test_names_and_paths() -> None:
    pytest.importorskip("skops")
    rare, boosting = (named_regressor(name, {"cv": 4}, random_state=7) for name in ("rare", "boosting"))
    assert isinstance(rare, RareRegressor)
    assert (rare.candidates, rare.cv, rare.random_state) == ("auto", 4, 7)
    assert isinstance(boosting, RareRegressor)
    assert boosting.candidates == "boosting"
    network = named_regressor("conr", {"method": "conr", "random_state": 3}, random_state=7)
    assert isinstance(network, ConRRegressor)
    assert (network.method, network.random_state) == ("conr", 3)
    found = named_regressor("sklearn.linear_model.Ridge", {"alpha": 3.0})
    assert isinstance(found, RareRegressor)
    inside = found._candidates()["Ridge"]
    assert isinstance(inside, EncodedRegressor)
    assert inside.estimator.alpha == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rar", "model: expected one of 'rare', 'boosting', 'conr' or a class's path, got 'rar'; did you mean 'rare'"),
        ("sklearn.linear_model.Rigde", "model: expected the path of a class, got 'sklearn.linear_model.Rigde'"),
        ("no_such_package.Model", "model: expected the path of a class, got 'no_such_package.Model'"),
        ("sklearn.preprocessing.StandardScaler", "model: expected a class with fit and predict"),
        ("sklearn.linear_model", "model: expected a class with fit and predict, got 'sklearn.linear_model'"),
        ("os.getcwd", "model: expected a class with fit and predict, got 'os.getcwd'"),
        ("conr.estimators.ConRRegressor", "model: expected 'rare' or 'boosting' or 'conr' for the models of conr"),
    ],
)
def test_other_names_are_answered(name: str, message: str) -> None:
    pytest.importorskip("skops")
    with pytest.raises(ValueError, match=message):
        named_regressor(name, {})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("rare", {"objective": "bma"}, "objective: expected one of 'bmae', 'mae', 'few', got 'bma'"),
        ("boosting", {"cv": 2}, "cv: expected a number of at least 3, got 2"),
        ("rare", {"few": 30, "many": 20}, "many: expected a number of at least 30, got 20"),
        ("rare", {"n_jobs": 0}, "n_jobs: expected a whole number that is not 0, got 0"),
        ("rare", {"bins": 3}, "bins: expected Bins or None, got 3"),
        ("conr", {"early_stopping": "x"}, "early_stopping: expected true or false, got 'x'"),
        ("rare", {"time_limit": -1}, "time_limit: expected a number of at least 0, got -1"),
        ("conr", {"method": "comr"}, "method: expected a method of"),
        ("conr", {"max_epochs": 0}, "max_epochs: expected a number of at least 1, got 0"),
        ("conr", {"scaling": "log"}, "scaling: expected one of"),
        ("conr", {"width": 0}, "width: expected a number of at least 1, got 0"),
        ("conr", {"window": "wide"}, "window: expected 'auto' or a number, got 'wide'"),
        ("conr", {"device": "gpu"}, "device: expected 'auto' or one that computes here, got 'gpu'"),
    ],
)
def test_wrong_settings_are_refused_before_any_file_is_read(name: str, settings: dict[str, Any], message: str) -> None:
    pytest.importorskip("skops")
    with pytest.raises((ValueError, TypeError), match=message):
        named_regressor(name, settings)


def test_settings_of_the_network_alone_mean_the_network() -> None:
    assert meant_regressor([]) == meant_regressor(["random_state"]) == meant_regressor(["time_limit"]) == "rare"
    assert meant_regressor(["max_epochs", "random_state"]) == meant_regressor([], targets=2) == "conr"
    assert meant_regressor(["max_epochs", "time_limit"]) == "conr"
    assert meant_regressor(["max_epochs", "candidates"]) == meant_regressor(["max_epoch"]) == "rare"
