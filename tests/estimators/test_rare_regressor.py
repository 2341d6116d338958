import time
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from tests.estimator_checks import failed_checks

from conr.density import Bins
from conr.estimators import ConRRegressor, EncodedRegressor, RareRegressor, default_candidates
from conr.estimators.cross_fitting import fit_fold

BINS = Bins.by_width(width=5, low=0, high=100)
PAIR = {"line": Ridge(), "neighbours": KNeighborsRegressor(10)}


def noisy(n: int, seed: int) -> tuple[Any, Any]:
    """Skewed labels, and inputs that tell them with an error: predictions shrink."""
    random = np.random.default_rng(seed)
    y = random.gamma(1.0, 10.0, n)
    return (y + random.normal(size=n) * 10)[:, None], y


X, Y = noisy(1200, 0)
NEW_X, NEW_Y = noisy(6000, 1)


def balanced(errors: Any, labels: Any) -> float:
    index = np.floor(labels / 5)
    return float(np.mean([errors[index == one].mean() for one in np.unique(index)]))


@pytest.fixture(scope="module")
def model() -> RareRegressor:
    return RareRegressor(PAIR, bins=BINS, random_state=0).fit(X, Y)


def test_the_blend_is_better_than_its_best_plain_candidate(model: RareRegressor) -> None:
    errors = np.abs(model.predict(NEW_X) - NEW_Y)
    plain = min(balanced(np.abs(one.fit(X, Y).predict(NEW_X) - NEW_Y), NEW_Y) for one in map(clone, PAIR.values()))
    assert balanced(errors, NEW_Y) < 0.9 * plain
    first, *others = model.leaderboard_
    assert first["name"] == "blend"
    judged = model.density_.counts.numpy()[np.floor(NEW_Y / 5).astype(int).clip(max=19)] > 1  # the others judge nothing
    assert first["bmae"] == pytest.approx(balanced(errors[judged], NEW_Y[judged]), rel=0.15)
    assert [row["bmae"] for row in others] == sorted(row["bmae"] for row in others)
    assert sum(row["weight"] for row in others) == pytest.approx(1)
    names = {row["name"] for row in others}
    assert {"line", "neighbours", "line>linear", "line>isotonic+inv", "neighbours>linear+sqinv"} <= names
    assert len(names) == 14
    assert set(model.estimators_) == {part.candidate for part in model.blend_}


def test_predictions_are_those_of_the_parts(model: RareRegressor) -> None:
    expected: Any = 0.0
    for part in model.blend_:
        mean = np.mean([one.predict(NEW_X) for one in model.estimators_[part.candidate]], axis=0)
        expected = expected + part.weight * part.correction(mean)
    np.testing.assert_allclose(model.predict(NEW_X), expected)
    assert {name: len(models) for name, models in model.estimators_.items()} == {
        name: 1 if name.endswith(">all") else 5 for name in model.estimators_
    }
    weights = {name: sum(part.weight for part in model.blend_ if part.candidate == name) for name in model.estimators_}
    assert all(weights[name] == weights[f"{name}>all"] for name in weights if not name.endswith(">all"))


def test_the_trade_off_has_the_chosen_point(model: RareRegressor) -> None:
    found = model.tradeoff_
    assert found.limit == [0, 0.02, 0.05, 0.1, 0.2, 0.5, None]
    assert found.chosen == 6
    assert found.many[0] < found.many[-1]
    assert found.few[0] > found.few[-1]
    axes = found.plot()
    assert "no limit" in [text.get_text() for text in axes.texts]
    point = axes.lines[1].get_xydata()[0]
    assert point.tolist() == [found.many[6], found.few[6]]


def test_the_loss_on_many_is_kept_on_new_rows(model: RareRegressor) -> None:
    many = model.density_.regions(NEW_Y).numpy() == 0
    alone = {name: RareRegressor({name: one}, "mae", bins=BINS, random_state=0).fit(X, Y) for name, one in PAIR.items()}
    plain = [np.mean([m.predict(NEW_X) for m in one.estimators_[name]], axis=0) for name, one in alone.items()]
    best = min(np.abs(one - NEW_Y)[many].mean() for one in (*plain, *(one.predict(NEW_X) for one in alone.values())))
    assert np.abs(model.predict(NEW_X) - NEW_Y)[many].mean() > 1.15 * best
    for limit in (0.0, 0.1):
        limited = RareRegressor(PAIR, bins=BINS, max_loss_on_many=limit, random_state=0).fit(X, Y)
        error = np.abs(limited.predict(NEW_X) - NEW_Y)[many].mean()
        assert error < (1 + limit) * best + 0.02 * best  # 6000 rows say it to about one percent
        assert limited.tradeoff_.limit[limited.tradeoff_.chosen] == limit


def test_random_labels_gain_nothing_by_the_choice() -> None:
    """Inputs say nothing: what the leaderboard promises for the blend, new rows have to keep."""
    promised, kept = [], []
    bins = Bins.by_width(width=0.1, low=0, high=1)
    noise = {f"part-{number}": make_pipeline(Columns([number]), KNeighborsRegressor(15)) for number in range(4)}
    for seed in range(5):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=(300, 4)), random.uniform(size=300)
        model = RareRegressor(noise, bins=bins, random_state=seed).fit(x, y)
        new, labels = random.normal(size=(3000, 4)), random.uniform(size=3000)
        promised.append(model.leaderboard_[0]["bmae"])
        kept.append(model.evaluate(new, labels)["all"]["bmae"])
    error = np.std(np.subtract(promised, kept)) / np.sqrt(len(kept))
    assert np.mean(promised) > np.mean(kept) - 3 * error - 0.002
    assert np.mean(kept) > 0.249  # the mean absolute deviation of such labels is a quarter


class Columns(BaseEstimator):  # type: ignore[misc]
    """Some columns of a matrix."""

    def __init__(self, positions: Any) -> None:
        self.positions = positions

    def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803
        return X[:, self.positions]


def test_rare_bins_of_one_row_are_not_corrected() -> None:
    """Cross-fitted predictions of single rows have no support: a map that they promise adds to the error."""
    common = np.linspace(0, 1, 300)
    rare = 2 + np.arange(12.0)
    x = np.concatenate((common, rare))[:, None]
    y = np.concatenate((common, 10 * rare))  # one row in each bin of width 5
    bins = Bins.by_width(width=5, low=0, high=150)
    random = np.random.default_rng(0)
    new = np.repeat(rare, 20) + random.uniform(-0.2, 0.2, 240)
    labels = 10 * new
    alone = {"neighbour": KNeighborsRegressor(1)}
    model = RareRegressor(alone, bins=bins, random_state=0).fit(x, y)
    plain = np.mean([one.predict(new[:, None]) for one in model.estimators_["neighbour"]], axis=0)
    found = np.abs(model.predict(new[:, None]) - labels).mean()
    assert found <= 1.02 * np.abs(plain - labels).mean()
    assert model.leaderboard_[0]["few"] != model.leaderboard_[0]["few"]  # nan: no few-shot row has another beside it


def test_intervals_cover_rare_labels(model: RareRegressor) -> None:
    found = model.evaluate_intervals(NEW_X, NEW_Y, coverage=0.8)
    assert all(found[region]["coverage"] > 0.7 for region in ("all", "many", "median", "few"))
    low, high = model.predict_interval(NEW_X, coverage=0.8).T
    assert ((low <= NEW_Y) & (high >= NEW_Y)).mean() >= found["all"]["coverage"]
    with pytest.raises(ValueError, match="coverage: expected a number below 1, got 1"):
        model.predict_interval(NEW_X, coverage=1.0)


class Slow(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Takes its time, and is interrupted if it is told so."""

    def __init__(self, seconds: float = 0.0, stop: bool = False) -> None:
        self.seconds = seconds
        self.stop = stop

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        time.sleep(self.seconds)
        if self.stop:
            raise KeyboardInterrupt
        self.mean_ = np.mean(y)
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.full(len(X), self.mean_)


def test_what_is_finished_when_time_is_up_or_somebody_stops_it(capsys: pytest.CaptureFixture[str]) -> None:
    three = {"line": Ridge(), "slow": Slow(0.2), "mean": Slow()}
    model = RareRegressor(three, bins=BINS, time_limit=0.3, verbose=1).fit(X, Y)
    assert model.unfinished_ == ["slow", "mean"]
    assert {name: len(models) for name, models in model.estimators_.items()} == {"line": 5}  # no time for all rows
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("1 of 3, line: 0.")
    assert others[:2] == [f"{name}: left out, it was not finished in time" for name in ("2 of 3, slow", "3 of 3, mean")]
    stopped = {"line": Ridge(), "stop": Slow(stop=True), "mean": Slow()}
    assert RareRegressor(stopped, bins=BINS).fit(X, Y).unfinished_ == ["stop", "mean"]
    with pytest.raises(KeyboardInterrupt):
        RareRegressor({"stop": Slow(stop=True), "line": Ridge()}, bins=BINS).fit(X, Y)


class Threads(Slow):
    """Counts the threads that it might use."""

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        self.threads_ = torch.get_num_threads()
        return super().fit(X, y)

    def predict(self, X: Any) -> Any:  # noqa: N803
        self.threads_ = max(self.threads_, torch.get_num_threads())
        return super().predict(X)


def test_small_tables_take_one_thread_and_large_ones_half_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for limit, cores, expected in ((20_000, 8, 1), (100, 4, 2), (100, 64, 3), (100, 1, 1)):
            monkeypatch.setattr("conr.estimators.threads._THREADS_FROM", limit)
            monkeypatch.setattr("conr.estimators.threads.joblib.cpu_count", lambda cores=cores: cores)
            model = RareRegressor({"mean": Threads()}, bins=BINS, cv=3).fit(X, Y)
            model.predict(NEW_X)
            assert {one.threads_ for one in model.estimators_["mean"]} == {expected}
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_network_ends_when_time_is_up() -> None:
    endless = ConRRegressor("sqinv", members=2, width=16, max_epochs=10**6, patience=10**6, device="cpu")
    start = time.monotonic()
    model = RareRegressor({"line": Ridge(), "network": endless}, bins=BINS, cv=3, time_limit=2.0).fit(X, Y)
    assert 2.0 < time.monotonic() - start < 20
    assert model.unfinished_ == ["network"]


def test_the_time_of_a_fold_is_not_kept_with_its_model() -> None:
    small = ConRRegressor("sqinv", members=2, width=16, max_epochs=1, device="cpu")
    found = fit_fold(small, X, Y, np.arange(100), seed=0, deadline=time.time() + 60)
    assert found is not None
    assert found.model.time_limit is None
    assert fit_fold(small, X, Y, np.arange(100), seed=0, deadline=time.time() - 1) is None


class Recorded(Ridge):  # type: ignore[misc]
    """Keeps the number of rows of each fit, and is stopped by the user in one of them."""

    rows: ClassVar[list[int]] = []

    def __init__(self, stopped_in: int | None = None) -> None:
        super().__init__()
        self.stopped_in = stopped_in

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
        self.rows.append(len(y))
        if len(self.rows) == self.stopped_in:
            raise KeyboardInterrupt
        return super().fit(X, y)


def test_small_tables_are_cut_into_folds_several_times_and_all_rows_train_in_the_end() -> None:
    for n, fits in ((300, 15), (700, 10), (1200, 5)):
        Recorded.rows.clear()
        model = RareRegressor({"line": Recorded()}, bins=BINS, random_state=0).fit(X[:n], Y[:n])
        assert len(Recorded.rows) == fits + 1
        assert max(Recorded.rows[:-1]) < 0.9 * n
        assert Recorded.rows[-1] == n
        whole = model.estimators_["line>all"][0]
        np.testing.assert_allclose(whole.predict(NEW_X), Ridge().fit(X[:n], Y[:n]).predict(NEW_X))


def test_models_of_the_folds_predict_if_the_last_fit_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    Recorded.rows.clear()
    model = RareRegressor({"line": Recorded(stopped_in=6)}, bins=BINS, random_state=0, verbose=1).fit(X, Y)
    assert {name: len(models) for name, models in model.estimators_.items()} == {"line": 5}
    assert capsys.readouterr().out.splitlines()[-1] == "stopped: models of the folds predict alone"
    assert np.abs(model.predict(NEW_X) - NEW_Y).mean() < np.abs(NEW_Y - NEW_Y.mean()).mean()


def test_jobs_and_seeds_change_nothing() -> None:
    first, second, other = (
        RareRegressor(PAIR, bins=BINS, random_state=seed, n_jobs=jobs).fit(X[:400], Y[:400]).predict(NEW_X)
        for seed, jobs in ((0, 1), (0, 2), (1, 1))
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def houses() -> pd.DataFrame:
    frame = pd.DataFrame({"size": X[:, 0], "place": np.where(Y > 9, "town", "village")})
    frame.loc[::7, "size"] = None
    return frame.assign(sold=pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(len(Y)) % 400, unit="D"))


def test_tables_with_texts_dates_and_missing_values_beside_a_pipeline_of_ones_own() -> None:
    frame = houses()[:300]
    own = make_pipeline(
        make_column_transformer((OrdinalEncoder(), ["place"]), remainder="drop"), StandardScaler(), Ridge()
    )
    boosting = default_candidates(networks=False)
    for one in boosting.values():
        one.set_params(estimator__estimator__max_iter=5)
    model = RareRegressor({**boosting, "own": own}, bins=BINS, cv=3, random_state=0).fit(frame, pd.Series(Y[:300]))
    assert {name: kind.name for name, kind in model.kinds_.items()} == {
        "size": "number",
        "place": "category",
        "sold": "date",
    }
    assert model.feature_names_in_.tolist() == ["size", "place", "sold"]
    assert np.abs(model.predict(frame) - Y[:300]).mean() < 0.7 * np.abs(Y[:300] - Y[:300].mean()).mean()
    new = frame[:3].assign(place="moon")
    with pytest.warns(UserWarning, match="column 'place': expected a category seen in training") as caught:
        RareRegressor(boosting, bins=BINS, cv=3, random_state=0).fit(frame, Y[:300]).predict(new)
    assert len(caught) == 1
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"size": "area"}))


def test_networks_are_candidates() -> None:
    small = ConRRegressor("sqinv", members=2, width=16, max_epochs=2)
    model = RareRegressor({"sqinv": small, "line": Ridge()}, bins=BINS, cv=3, random_state=0).fit(X, Y)
    assert {"sqinv", "sqinv>linear"} <= {row["name"] for row in model.leaderboard_}
    assert list(default_candidates()) == ["hgb", "hgb+sqinv", "hgb+inv", "sqinv"]


def test_a_search_and_clone_take_it() -> None:
    search = GridSearchCV(RareRegressor(PAIR, cv=3), {"objective": ["mae", "bmae"]}, cv=2).fit(X[:200], Y[:200])
    assert search.best_params_["objective"] in ("mae", "bmae")
    assert clone(RareRegressor(PAIR)).candidates.keys() == PAIR.keys()


def test_the_objective_says_what_is_lowered() -> None:
    errors = {
        objective: RareRegressor(PAIR, objective, bins=BINS, random_state=0).fit(X, Y).evaluate(NEW_X, NEW_Y)
        for objective in ("mae", "few")
    }
    assert errors["mae"]["all"]["mae"] < errors["few"]["all"]["mae"]
    assert errors["few"]["few"]["mae"] < errors["mae"]["few"]["mae"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": "networks"}, "candidates: expected one of 'auto', 'boosting', got 'networks'"),
        ({"candidates": {"blend": Ridge()}}, "candidates: expected estimators by name, .* none called 'blend'"),
        ({"candidates": {}}, "candidates: expected estimators by name"),
        ({"objective": "bma"}, "objective: expected one of .*did you mean 'bmae'"),
        ({"objective": "few", "few": 0}, "objective: expected labels in bins of 2 to -1 rows for 'few', got none"),
        ({"cv": 2}, "cv: expected a number of at least 3, got 2"),
        ({"max_loss_on_many": -0.1}, "max_loss_on_many: expected a number of at least 0"),
        ({"time_limit": -1}, "time_limit: expected a number of at least 0"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RareRegressor(**{"candidates": PAIR, **arguments}).fit(X[:100], Y[:100])


def test_wrong_labels_and_names() -> None:
    with pytest.raises(ValueError, match=r"y: expected one target, got shape \(100, 2\); fit one RareRegressor for"):
        RareRegressor(PAIR).fit(X[:100], np.stack((Y, Y), axis=1)[:100])
    with pytest.raises(TypeError, match="did you mean 'max_loss_on_many'"):
        RareRegressor(max_loss_on_man=1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(
    "estimator",
    [RareRegressor({"line": LinearRegression()}, cv=3), EncodedRegressor(LinearRegression())],
    ids=["blend", "encoded"],
)
def test_checks_of_scikit_learn(estimator: Any) -> None:
    assert failed_checks(estimator) == {}
