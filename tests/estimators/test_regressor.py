import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import conr
from conr.density import REGIONS, Bins, ConRSettings, suggest_settings
from conr.estimators import ConRRegressor
from conr.estimators.fitting import Schedule
from conr.estimators.table_task import TableTask
from conr.methods.presets import method_names
from conr.tables.columns import Columns
from conr.tables.encoding import Encoding
from conr.tables.frames import frame_columns

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 2, "random_state": 0, "device": "cpu"}
Array = NDArray[np.float64]


def encoding(model: ConRRegressor) -> Encoding:
    assert model.encoding_ is not None
    return model.encoding_


@pytest.fixture(scope="module")
def rows() -> tuple[Array, Array]:
    """Labels that are often small and seldom large."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(240, 3))
    return inputs, np.exp(inputs[:, 0]) + 0.1 * inputs[:, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_users_default_dtype_is_neither_used_nor_changed(
    dtype: torch.dtype, rows: tuple[Array, Array], tmp_path: Path
) -> None:
    expected = ConRRegressor("lds+conr", **SMALL).fit(*rows).predict(rows[0])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = ConRRegressor("lds+conr", **SMALL).fit(*rows)
        loaded = ConRRegressor.load(model.save(tmp_path))
        np.testing.assert_equal(loaded.evaluate(*rows), model.evaluate(*rows))
        with pytest.raises(ValueError, match="contains NaN"):
            ConRRegressor(**SMALL).fit(rows[0], rows[1] * np.nan)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)
    for one in (model, loaded):
        np.testing.assert_array_equal(one.predict(rows[0]), expected)


def test_fits_in_threads_leave_the_default_dtype(rows: tuple[Array, Array]) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with ThreadPoolExecutor(2) as pool:
            fits = [pool.submit(ConRRegressor(**SMALL | {"max_epochs": epochs}).fit, *rows) for epochs in (2, 6)]
            assert all(np.isfinite(one.result().predict(rows[0])).all() for one in fits)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def mixed() -> tuple[pd.DataFrame, Array]:
    """Numbers, categories, truth values, each with missing values."""
    random = np.random.default_rng(1)
    size = random.normal(size=160)
    place = random.choice(["north", "south", "west"], size=160).astype(object)
    place[::20] = None
    frame = pd.DataFrame(
        {
            "size": np.where(np.arange(160) % 11 == 0, np.nan, size),
            "place": place,
            "kind": pd.Categorical(random.integers(0, 2, 160)),
            "rooms": pd.array(random.integers(1, 5, 160), dtype="Int64"),
            "new": random.random(160) < 0.5,
        }
    )
    frame.loc[3, "rooms"] = pd.NA
    return frame, np.exp(size) + (place == "north")


def test_it_learns(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    model = ConRRegressor(**{**SMALL, "max_epochs": 60, "learning_rate": 0.02}).fit(inputs[:180], labels[:180])
    assert model.score(inputs[180:], labels[180:]) > 0.8
    assert model.history_[0]["loss"] > model.history_[-1]["loss"]


def test_the_same_random_state_is_the_same_model_and_torch_keeps_its_state(rows: tuple[Array, Array]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (ConRRegressor(**SMALL).fit(*rows).predict(rows[0]) for _ in range(2))
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(one, two)
    other = ConRRegressor(**{**SMALL, "random_state": 1}).fit(*rows).predict(rows[0])
    assert not np.allclose(one, other)


def test_frames_with_categories_and_missing_values(mixed: tuple[pd.DataFrame, Array]) -> None:
    frame, labels = mixed
    model = ConRRegressor(**SMALL).fit(frame, labels)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert [name for name, kind in model.kinds_.items() if kind.name == "number"] == ["size", "rooms", "new"]
    assert encoding(model).known == {"place": ["(missing)", "north", "south", "west"], "kind": ["0", "1"]}
    # Three numbers, two of them missing somewhere, and six categories.
    assert encoding(model).transform(model._columns(frame, reset=False)).shape == (160, 3 + 2 + 6)
    assert np.isfinite(model.predict(frame)).all()
    shuffled = frame.astype({"place": "category"})
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[frame.columns[::-1]])


def test_numbers_as_categories_by_name_and_by_position(rows: tuple[Array, Array]) -> None:
    frame = pd.DataFrame({"code": [1, 2, 3] * 20, "size": np.arange(60.0)})
    model = ConRRegressor(categorical=["code"], **SMALL).fit(frame, np.arange(60.0))
    assert encoding(model).known == {"code": ["1", "2", "3"]}
    model = ConRRegressor(categorical=[0], **SMALL).fit(frame.to_numpy(), np.arange(60.0))
    assert encoding(model).known == {"x0": ["1", "2", "3"]}
    with pytest.raises(ValueError, match="categorical: expected one of 'code', 'size', got 'cod'; did you mean 'code'"):
        ConRRegressor(categorical=["cod"], **SMALL).fit(frame, np.arange(60.0))


def test_a_categorical_dtype_over_numbers_is_enough() -> None:
    frame = pd.DataFrame({"code": pd.Categorical([1, 2, 3] * 20), "size": np.arange(60.0)})
    model = ConRRegressor(**SMALL).fit(frame, np.arange(60.0))
    assert encoding(model).known == {"code": ["1", "2", "3"]}
    twice = pd.DataFrame(np.zeros((60, 2)), columns=["a", "a"])
    with pytest.raises(ValueError, match="X: expected each column's name once, got 'a' twice"):
        ConRRegressor(**SMALL).fit(twice, np.arange(60.0))


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="it is an extra of its own")
def test_arrow_tables_and_decimals() -> None:
    import pyarrow as pa  # noqa: PLC0415

    random = np.random.default_rng(0)
    columns = {
        "place": pa.array(random.choice(["north", "south"], 60).tolist()),
        "code": pa.array(random.choice(["a", "b"], 60).tolist()).dictionary_encode(),
        "price": pa.array([Decimal(one) / 4 for one in range(60)]),
        "day": pa.array([date(2024, 1, 1) + timedelta(days=one) for one in range(60)]),
        "size": pa.array([None, *np.arange(59.0)]),
    }
    table = pa.table(columns)
    labels = [Decimal(one) / 8 for one in range(60)]
    model = ConRRegressor(**SMALL).fit(table, labels)
    kinds = {name: kind.name for name, kind in model.kinds_.items()}
    assert kinds == {"place": "category", "code": "category", "price": "number", "day": "date", "size": "number"}
    predictions = model.predict(table.to_pandas())
    np.testing.assert_array_equal(model.predict(table), predictions)
    assert np.isfinite(predictions).all()
    again = ConRRegressor(**SMALL).fit(table.select(["place", "price"]), pa.array(labels))
    assert again.predict(table.select(["place", "price"])).shape == (60,)
    objects = np.array([[Decimal(one) / 4, "x"] for one in range(60)], dtype=object)
    assert {kind.name for kind in ConRRegressor(**SMALL).fit(objects, labels).kinds_.values()} == {"number", "category"}
    numbers = ConRRegressor(**SMALL).fit(objects[:, :1], labels)
    np.testing.assert_array_equal(numbers.predict(objects[:, :1]), numbers.predict(objects[:, :1].astype(float)))


def test_new_categories(mixed: tuple[pd.DataFrame, Array]) -> None:
    frame, labels = mixed
    new = frame.assign(place=["east", "north"] * 80)
    model = ConRRegressor(**SMALL).fit(frame, labels)
    with pytest.warns(UserWarning, match="column 'place': expected a category seen in training .* got 'east' and 79"):
        assert np.isfinite(model.predict(new)).all()
    model = ConRRegressor(new_categories="error", **SMALL).fit(frame, labels)
    with pytest.raises(ValueError, match="column 'place': expected a category seen in training"):
        model.predict(new)


def test_a_category_without_values_in_training_stays_one(rows: tuple[Array, Array]) -> None:
    """Its kind is decided by all rows, of which those of weight 0 are not trained on."""
    inputs, labels = rows
    colours = ["red"] * 20 + [None] * 220
    frame = pd.DataFrame({"size": inputs[:, 0], "colour": colours})
    weights = (np.arange(240) >= 20).astype(float)
    model = ConRRegressor(**SMALL).fit(frame, labels, weights)
    assert {name: kind.name for name, kind in model.kinds_.items()} == {"size": "number", "colour": "category"}
    assert encoding(model).known == {"colour": ["(missing)"]}
    with pytest.warns(
        UserWarning, match=r"column 'colour': .* 'red' and 19 more \(rows 0, 1, 2, 3, 4, \.\.\.\): treated"
    ):
        assert np.isfinite(model.predict(frame)).all()


def test_columns_of_a_file_are_taken_as_they_are(mixed: tuple[pd.DataFrame, Array]) -> None:
    frame, labels = mixed
    columns = frame_columns(frame, list(frame.columns))
    model = ConRRegressor(**SMALL).fit(columns, labels)
    np.testing.assert_array_equal(model.predict(columns), ConRRegressor(**SMALL).fit(frame, labels).predict(frame))
    with pytest.raises(ValueError, match=r"X: expected the columns of training, \{'size': 'number', "):
        model.predict(Columns({"size": np.ones(3)}, np.arange(3)))


def test_values_that_cannot_be_used(mixed: tuple[pd.DataFrame, Array]) -> None:
    frame, labels = mixed
    infinite = frame.assign(size=np.inf)
    with pytest.raises(ValueError, match="column 'size': expected finite numbers, got inf in row 0"):
        ConRRegressor(**SMALL).fit(infinite, labels)
    with pytest.raises(TypeError, match="column 'time': argument must be a string or a real number, got a time span"):
        ConRRegressor(**SMALL).fit(frame.assign(time=pd.Timedelta(days=1)), labels)
    with pytest.raises(ValueError, match="y: expected labels that differ, got 3 in all 160 rows"):
        ConRRegressor(**SMALL).fit(frame, np.full(160, 3.0))
    with pytest.raises(ValueError, match="y: expected at least 2 rows"):
        ConRRegressor(**SMALL).fit(frame[:1], labels[:1])
    model = ConRRegressor(**SMALL).fit(frame, labels)
    with pytest.raises(ValueError, match="column 'size': expected numbers, got 'big' in row 0"):
        model.predict(frame.assign(size="big"))


def test_several_targets(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    both = np.stack([labels, 1000 * inputs[:, 1]], axis=1)
    model = ConRRegressor(**SMALL).fit(inputs, both)
    assert model.predict(inputs).shape == (240, 2)
    assert model.bins_.dimensions == 2
    assert model.evaluate(inputs, both)["all"]["count"] == 240
    with pytest.raises(ValueError, match="y: expected 2 targets as in training, got 1"):
        model.evaluate(inputs, labels)


@pytest.mark.parametrize("method", sorted({*method_names("table")} - {"mlp"}))
def test_every_method_of_the_grid_trains(method: str, rows: tuple[Array, Array]) -> None:
    inputs, labels = rows[0][:80], rows[1][:80]
    model = ConRRegressor(method, **SMALL).fit(inputs, labels)
    assert np.isfinite(model.predict(inputs)).all()


def test_a_first_stage_without_criterion_is_not_judged_by_its_head(rows: tuple[Array, Array]) -> None:
    model = ConRRegressor("rnc-pretraining", **SMALL).fit(*rows)
    first, second = model.history_[: SMALL["max_epochs"]], model.history_[SMALL["max_epochs"] :]
    assert all("bmae" not in record for record in first)
    assert len(second) > 0
    assert all("bmae" in record for record in second)
    assert model.best_epoch_ > len(first)


def test_a_mix_of_methods_in_any_order(rows: tuple[Array, Array]) -> None:
    one = ConRRegressor("lds+fds+conr", **SMALL).fit(*rows)
    two = ConRRegressor("conr+fds+lds", **SMALL).fit(*rows)
    np.testing.assert_array_equal(one.predict(rows[0]), two.predict(rows[0]))
    plain = ConRRegressor("lds+fds", **SMALL).fit(*rows)
    assert not np.allclose(one.predict(rows[0]), plain.predict(rows[0]))


def test_weights_of_samples(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    weights = np.where(inputs[:, 2] > 0, 1.0, 0.0)
    kept = weights > 0
    one = ConRRegressor(**SMALL).fit(inputs, labels, weights)
    np.testing.assert_array_equal(
        one.predict(inputs), ConRRegressor(**SMALL).fit(inputs[kept], labels[kept]).predict(inputs)
    )
    heavy = ConRRegressor(**SMALL).fit(inputs, labels, np.where(labels > 3, 100.0, 1.0))
    assert heavy.predict(inputs).mean() > ConRRegressor(**SMALL).fit(inputs, labels).predict(inputs).mean()
    with pytest.raises(ValueError, match="Negative values"):
        ConRRegressor(**SMALL).fit(inputs, labels, -np.ones(240))


def test_the_validation_part_has_a_share_of_each_bin_and_is_not_trained_on(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    model = ConRRegressor(**SMALL).fit(inputs, labels)
    every = model.bins_.index(torch.from_numpy(labels)).bincount(minlength=len(model.density_.counts))
    assert 10 <= 240 - int(model.density_.counts.sum()) <= 24
    torch.testing.assert_close(model.density_.counts, (every - every // 10).to(model.density_.counts))
    assert set(model.history_[0]) == {"epoch", "loss", "bmae"}
    model = ConRRegressor(early_stopping=False, **SMALL).fit(inputs, labels)
    assert int(model.density_.counts.sum()) == 240
    assert set(model.history_[0]) == {"epoch", "loss"}
    assert model.best_epoch_ == 2


def test_training_ends_early_at_the_best_epoch(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    wrong = -labels[:60]  # the better the fit, the worse the validation
    settings = {**SMALL, "max_epochs": 50, "patience": 3, "learning_rate": 0.02}
    model = ConRRegressor(**settings).fit(inputs[60:], labels[60:], eval_set=[(inputs[:60], wrong)])
    assert len(model.history_) == model.best_epoch_ + 3 < 50
    errors = [record["bmae"] for record in model.history_]
    assert np.argmin(errors) + 1 == model.best_epoch_
    with pytest.raises(ValueError, match=r"eval_set: expected a pair \(X, y\)"):
        ConRRegressor(**SMALL).fit(inputs, labels, eval_set=(inputs, labels, labels))  # type: ignore[arg-type]


@pytest.mark.parametrize(("number", "shown", "epochs"), [(80, False, 300), (80, True, 180), (240, False, 180)])
def test_training_is_longer_without_validation_rows(
    number: int, shown: bool, epochs: int, rows: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """80 rows have no validation part of ten; nothing is trained here."""

    class EnoughError(Exception):
        pass

    def trained(_task: TableTask, _method: str, schedule: Schedule) -> Any:
        raise EnoughError(schedule.max_epochs)

    monkeypatch.setattr(TableTask, "trained", trained)
    x, y = rows[0][:number], rows[1][:number]
    with pytest.raises(EnoughError, match=f"^{epochs}$"):
        ConRRegressor(device="cpu").fit(x, y, eval_set=(x, y) if shown else None)


def test_training_ends_when_time_is_up(rows: tuple[Array, Array]) -> None:
    settings = {**SMALL, "max_epochs": 10**6, "patience": 10**6}
    start = time.monotonic()
    model = ConRRegressor(time_limit=1.0, **settings).fit(*rows)
    assert 0.9 < time.monotonic() - start < 10
    assert 1 < len(model.history_) < 10**6
    assert len(ConRRegressor(time_limit=0.0, **settings).fit(*rows).history_) == 1
    long = ConRRegressor(time_limit=1000.0, **SMALL).fit(*rows)
    np.testing.assert_array_equal(long.predict(rows[0]), ConRRegressor(**SMALL).fit(*rows).predict(rows[0]))
    with pytest.raises(ValueError, match="time_limit: expected a number of at least 0, got -1"):
        ConRRegressor(time_limit=-1, **SMALL).fit(*rows)


def test_a_fit_leaves_the_number_of_threads_alone(rows: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def trained(*arguments: Any) -> Any:
        seen.append(torch.get_num_threads())
        return original(*arguments)

    original = TableTask.trained
    monkeypatch.setattr(TableTask, "trained", trained)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ConRRegressor(**SMALL).fit(*rows)
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_numbers_of_conr_follow_the_label_scale(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    one = ConRRegressor(**SMALL).fit(inputs, labels).settings_
    thousand = ConRRegressor(**SMALL).fit(inputs, 1000 * labels).settings_
    assert thousand.window == pytest.approx(1000 * one.window)
    assert thousand.distance_scale == pytest.approx(one.distance_scale / 1000)
    assert (one.coefficient, one.temperature) == (thousand.coefficient, thousand.temperature)
    given = ConRRegressor(window=0.7, beta=2, temperature=0.2, distance_scale=0.01, **SMALL).fit(inputs, labels)
    assert given.settings_ == ConRSettings(window=0.7, temperature=0.2, distance_scale=0.01, coefficient=2.0)


def test_automatic_numbers_of_conr_are_those_of_the_rule_for_standardised_labels(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    labels = 30 + 7 * labels
    model = ConRRegressor(early_stopping=False, **SMALL).fit(inputs, labels)
    deviation = labels.std()
    edges = (model.bins_.edges[0] - labels.mean()) / deviation
    rule = suggest_settings(torch.from_numpy(labels - labels.mean()) / deviation, Bins(edges.tolist()), batch_size=128)
    assert model.settings_.window == pytest.approx(rule.window * deviation)
    assert model.settings_.distance_scale == pytest.approx(rule.distance_scale / deviation)
    assert model.settings_.coefficient == rule.coefficient
    assert model.settings_.distance_scale == pytest.approx(1 / np.ptp(labels), rel=0.05)


def test_automatic_numbers_of_conr_with_several_targets_are_in_deviations(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    several = np.column_stack([labels, 1000 * labels[::-1]])
    model = ConRRegressor(early_stopping=False, **SMALL).fit(inputs, several)
    ranges = np.ptp(several, axis=0) / several.std(axis=0)  # (2,)
    assert model.settings_.distance_scale == pytest.approx(1 / ranges.max(), rel=0.05)


def test_the_window_matters(rows: tuple[Array, Array]) -> None:
    narrow, wide = (ConRRegressor(window=window, **SMALL).fit(*rows).predict(rows[0]) for window in (0.01, 2.0))
    assert not np.allclose(narrow, wide)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": "atuo"}, "window: expected 'auto' or a number, got 'atuo'"),
        ({"window": 0}, "window: expected a number above 0"),
        ({"method": "lsd"}, "did you mean 'lds'"),
        ({"method": "mlp+conr"}, "method: expected a training method, got 'mlp\\+conr', which names a network"),
        ({"method": "mse+bmc"}, "contradict each other"),
        ({"scaling": "quantiles"}, "did you mean 'quantile'"),
        ({"embedding": "piecewize"}, "did you mean 'piecewise'"),
        ({"monitor": "rmse"}, "monitor: expected one of 'mae', 'bmae', 'few'"),
        ({"members": 0}, "members: expected a number of at least 1"),
        ({"dropout": 1.0}, r"dropout: expected a number in \[0, 1\)"),
        ({"validation_fraction": 0.7}, "validation_fraction: expected a share of at most 0.5"),
        ({"device": "gpu"}, "device: expected 'auto' or one that computes here, got 'gpu': Expected one of cpu, cuda"),
        ({"device": "cuda:9"}, "device: expected 'auto' or one that computes here, got 'cuda:9'"),
        ({"device": "mps"}, "device: expected 'auto' or one that computes here, got 'mps'"),
        ({"device": "meta"}, "device: expected 'auto' or one that computes here, got 'meta'"),
        ({"batch_size": "big"}, "batch_size: expected 'auto' or a number"),
    ],
)
def test_arguments_outside_their_range(settings: dict[str, Any], message: str, rows: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match=message):
        ConRRegressor(**{**SMALL, **settings}).fit(*rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": None}, "batch_size: expected a number, got NoneType"),
        ({"max_epochs": [1]}, "max_epochs: expected a number, got list"),
        ({"max_epochs": 1.5}, "max_epochs: expected a whole number, got 1.5"),
        ({"members": 1.5}, "members: expected a whole number, got 1.5"),
    ],
)
def test_arguments_of_another_type(settings: dict[str, Any], message: str, rows: tuple[Array, Array]) -> None:
    with pytest.raises(TypeError, match=message):
        ConRRegressor(**{**SMALL, **settings}).fit(*rows)


def test_an_unknown_argument_is_answered_with_the_nearest() -> None:
    message = "ConRRegressor: expected one of its arguments, got 'windw'; did you mean 'window'"
    with pytest.raises(TypeError, match=message):
        ConRRegressor(windw=3)
    with pytest.raises(TypeError, match=message):
        ConRRegressor().set_params(windw=3)


def test_it_works_where_estimators_do(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    pipeline = make_pipeline(StandardScaler(), ConRRegressor(**SMALL)).fit(inputs, labels)
    assert pipeline.predict(inputs).shape == (240,)
    search = GridSearchCV(ConRRegressor(**SMALL), {"method": ["vanilla", "lds+conr"], "beta": [0.1, 1.0]}, cv=2)
    assert search.fit(inputs, labels).best_params_["method"] in {"vanilla", "lds+conr"}
    assert len(cross_val_score(ConRRegressor(**SMALL), inputs, labels, cv=3)) == 3
    model = ConRRegressor(window=0.4, **SMALL)
    assert clone(model).get_params() == model.get_params()
    restored = pickle.loads(pickle.dumps(model.fit(inputs, labels)))  # noqa: S301  our own
    np.testing.assert_array_equal(restored.predict(inputs), model.predict(inputs))


def test_features_as_a_frame(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    features = ConRRegressor(**SMALL).set_output(transform="pandas").fit(inputs, labels).transform(inputs[:5])
    assert isinstance(features, pd.DataFrame)
    assert features.shape == (5, 16)
    assert features.columns[0] == "conrregressor0"


def test_evaluation_is_that_of_the_metrics(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    model = ConRRegressor(many=30, few=10, **SMALL).fit(inputs, labels)
    found = model.evaluate(inputs, labels)
    errors = np.abs(model.predict(inputs) - labels)
    assert list(found) == ["all", *REGIONS]
    assert found["all"]["mae"] == pytest.approx(errors.mean())
    region = model.density_.regions(torch.from_numpy(labels)).numpy()
    assert found["few"]["mae"] == pytest.approx(errors[region == REGIONS.index("few")].mean())
    assert sum(found[name]["count"] for name in REGIONS) == found["all"]["count"] == 240
    assert model.evaluate(inputs, labels + 100)["all"]["count"] == 240  # beyond the bins


def test_without_preprocessing(rows: tuple[Array, Array]) -> None:
    inputs, labels = rows
    model = ConRRegressor(preprocess=False, **SMALL).fit(inputs, labels)
    assert model.encoding_ is None
    missing = inputs.copy()
    missing[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict(missing)
    assert np.isfinite(ConRRegressor(**SMALL).fit(inputs, labels).predict(missing)).all()


def test_a_line_per_epoch(rows: tuple[Array, Array], capsys: pytest.CaptureFixture[str]) -> None:
    ConRRegressor(**SMALL).fit(*rows)
    assert capsys.readouterr().out == ""
    ConRRegressor(verbose=1, **SMALL).fit(*rows)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["epoch", "1"], ["epoch", "2"]]


def test_the_package_has_it_lazily() -> None:
    assert conr.ConRRegressor is ConRRegressor
    with pytest.raises(AttributeError, match="no attribute 'ConrRegressor'"):
        getattr(conr, "ConrRegressor")  # noqa: B009


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_fitting_needs_no_gradients_of_the_caller(around: Any, rows: tuple[Array, Array]) -> None:
    expected = ConRRegressor("sqinv+conr", **SMALL).fit(*rows).predict(rows[0])
    with around():
        model = ConRRegressor("sqinv+conr", **SMALL).fit(*rows)
        np.testing.assert_array_equal(model.predict(rows[0]), expected)
    np.testing.assert_array_equal(model.fit(*rows).predict(rows[0]), expected)
