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
    ],
)
def test_other_names_are_answered(name: str, message: str) -> None:
    pytest.importorskip("skops")
    with pytest.raises(ValueError, match=message):
        named_regressor(name, {})


def test_settings_of_the_network_alone_mean_the_network() -> None:
    assert meant_regressor([]) == meant_regressor(["random_state"]) == meant_regressor(["time_limit"]) == "rare"
    assert meant_regressor(["max_epochs", "random_state"]) == meant_regressor([], targets=2) == "conr"
    assert meant_regressor(["max_epochs", "time_limit"]) == meant_regressor(["max_epoch"]) == "rare"
