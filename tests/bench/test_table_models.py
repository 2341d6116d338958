"""Models beside networks: one grammar of names, and tables with categories and missing numbers for each.

Two packages are not among those that the tests install. Stand-ins of the same interface are, and check what they get.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.ensemble import HistGradientBoostingRegressor

from conr import RareRegressor
from conr.bench import grid_tasks, run_grid
from conr.bench.baselines import check_baseline, is_baseline, run_baseline
from conr.bench.table_models import MODELS, rows_for
from conr.data import ArrayDataset, Table
from conr.density.bins import Bins
from conr.rare import Rebalanced
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

pytestmark = pytest.mark.filterwarnings("ignore:.*column 'built'. dates, year-month-day:UserWarning")

STAND_INS = {
    "catboost": """
import numpy as np

class CatBoostRegressor:
    def __init__(self, *, loss_function, iterations, thread_count, random_seed, allow_writing_files, verbose):
        assert loss_function in ("MAE", "RMSE") and not allow_writing_files and not verbose
        self.iterations = iterations

    def fit(self, X, y, *, sample_weight, cat_features):
        assert cat_features == list(X.columns[X.dtypes == "category"])
        assert not X[cat_features].isna().any().any()  # the package refuses these
        self.mean = np.average(y, weights=sample_weight)
        self.rows = X
        return self

    def predict(self, X, *, ntree_end):
        assert list(X.dtypes) == list(self.rows.dtypes)
        return np.full(len(X), self.mean * (ntree_end or self.iterations) / self.iterations)

    def staged_predict(self, X):
        for trees in range(1, self.iterations + 1):
            yield self.predict(X, ntree_end=trees)
""",
    "pytabkit": """
import numpy as np

class TabM_D_Regressor:
    def __init__(self, *, device, n_threads, random_state):
        assert device == "cpu" and isinstance(random_state, int)

    def fit(self, X, y, *, X_val, y_val):
        for rows in (X, X_val):
            assert not rows.isna().any().any()  # the package refuses these
        assert len(X) == len(y) and len(X_val) == len(y_val) and X.dtypes.equals(X_val.dtypes)
        self.mean = np.mean(y)
        return self

    def predict(self, X):
        assert not X.isna().any().any()
        return np.full((len(X), 1), self.mean, dtype=np.float32)

class RealMLP_TD_Regressor(TabM_D_Regressor):
    pass
""",
}


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, code in STAND_INS.items():
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text(code)
        described = tmp_path / "packages" / f"{name}-7.1.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 7.1\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    yield
    for name in STAND_INS:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sizes that are missing here and there, and places, one of which only a test row has."""
    path = tmp_path_factory.mktemp("table") / "houses.csv"
    random = np.random.default_rng(0)
    prices = np.floor(10 * random.random(360) ** 2)
    splits = ["train", "val", "test", "train", "train", "train"] * 60
    lines = ["size,place,built,price,split"]
    for row, (price, split) in enumerate(zip(prices, splits, strict=True)):
        size = "" if row % 7 == 0 else f"{price + random.normal():.3f}"
        place = "moon" if row == 2 else "" if row % 11 == 0 else "town" if price > 4 else "village"
        lines.append(f"{size},{place},20{row % 20 + 10}-03-0{row % 9 + 1},{price:g},{split}")
    path.write_text("\n".join(lines))
    return path


def settings(path: Path) -> dict[str, Any]:
    return {"data.path": str(path), "data.target": "price", "data.split_column": "split", "data.bin_width": 1}


def run(method: str, path: Path, folder: Path, iterations: int | None = None) -> tuple[RunResult, Outputs]:
    run_baseline("table", method, seed=1, folder=folder, settings=settings(path), iterations=iterations)
    return RunResult.read(folder), Outputs.read(folder)


def loaded(path: Path) -> Table:
    data = Table(path=str(path), target="price", split_column="split", bin_width=1)
    data.setup("fit")
    return data


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    "method", ["lightgbm+sqinv", "catboost+sqinv", "tabm", "realmlp+inv", "hgb+lds", "tabm>linear"]
)
def test_every_model_takes_missing_numbers_categories_and_dates(houses: Path, tmp_path: Path, method: str) -> None:
    result, outputs = run(method, houses, tmp_path / "run", iterations=20 if method[:2] in {"li", "ca", "hg"} else None)
    assert (result.method, result.dataset) == (method, "table-houses")
    assert np.isfinite(outputs.predictions).all()
    assert len(outputs.predictions) == 60
    package = MODELS[method.partition(">")[0].partition("+")[0]].packages[0]
    assert result.versions.get(package, "7.1") == "7.1" or package in {"sklearn", "lightgbm"}
    assert len(read_history(tmp_path / "run")["val/mae"]) == result.epochs


def test_a_frame_has_the_kinds_of_the_table(houses: Path) -> None:
    data = loaded(houses)
    frames = rows_for(MODELS["catboost"], data)
    train, test = frames["train"], frames["test"]
    assert train.dtypes.equals(test.dtypes)
    (place,) = train.columns[train.dtypes == "category"]
    columns = data.columns["test"]
    known = ["(missing)", "town", "village"]
    codes = [0 if one == "moon" else 1 + known.index(one or "(missing)") for one in columns.values["place"]]
    assert test[place].tolist() == codes
    assert 0 in codes
    assert test["x0"].isna().tolist() == np.isnan(columns.values["size"]).tolist()
    filled = rows_for(MODELS["tabm"], data)["train"]
    assert not filled.isna().any().any()
    assert len(filled.columns) == len(train.columns) + 1  # where a size is missing
    assert filled[filled.columns[-1]].tolist() == train["x0"].isna().astype(float).tolist()


@pytest.mark.usefixtures("stand_ins")
def test_the_best_number_of_trees_is_chosen_on_the_validation_rows_and_corrected_models_keep_it(
    houses: Path, tmp_path: Path
) -> None:
    result, outputs = run("catboost", houses, tmp_path / "plain", iterations=10)
    data = loaded(houses)
    mean = float(data.splits.train.labels.double().mean())
    errors = [float((data.splits.val.labels - mean * trees / 10).abs().mean()) for trees in range(1, 11)]
    best = int(result.checkpoint["epoch"])
    assert errors[best] == pytest.approx(min(errors), rel=1e-6)
    assert best < 9
    assert outputs.predictions == pytest.approx(np.full(60, mean * (best + 1) / 10), rel=1e-6)
    _, corrected = run("catboost>linear", houses, tmp_path / "corrected", iterations=10)
    assert corrected.predictions == pytest.approx(np.full(60, mean), rel=1e-2)  # the map puts the mean right


def test_a_correction_is_that_of_rebalanced(houses: Path, tmp_path: Path) -> None:
    plain, _ = run("hgb+sqinv", houses, tmp_path / "plain", iterations=12)
    result, outputs = run("hgb+sqinv>linear+inv", houses, tmp_path / "corrected", iterations=12)
    assert result.checkpoint == plain.checkpoint
    data = loaded(houses)
    train, test = data.splits.train, data.splits.test
    assert isinstance(train, ArrayDataset)
    assert isinstance(test, ArrayDataset)
    used = int(plain.checkpoint["epoch"]) + 1
    model = HistGradientBoostingRegressor(loss="absolute_error", max_iter=used, early_stopping=False, random_state=1)
    labels = train.labels.double().numpy()
    counts = {label: (labels == label).sum() for label in labels}
    weights = np.array([counts[label] ** -0.5 for label in labels])
    bins = Bins(data.splits.bins.edges[0].tolist(), clamp=True)
    expected = Rebalanced(model, 1.0, "linear", bins=bins, random_state=1)
    expected.fit(train.inputs.numpy(), labels, sample_weight=weights / weights.mean())
    assert outputs.predictions == pytest.approx(expected.predict(test.inputs.numpy()), rel=1e-4)
    config = yaml.safe_load((tmp_path / "corrected" / "config.yaml").read_text())
    wanted = {"loss": "absolute_error", "iterations": 12, "oversample": False, "map": "linear", "power": 1.0}
    assert config["hgb"] == wanted


def test_squared_errors_are_named_by_the_criterion(houses: Path, tmp_path: Path) -> None:
    run("hgb+mse+sqinv", houses, tmp_path, iterations=3)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["hgb"]["loss"] == "squared_error"


@pytest.mark.filterwarnings("ignore:.*got 'moon' .row 4.. treated as none of them:UserWarning")
def test_the_blend_is_that_of_rare_regressor_on_the_training_rows(
    houses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conr.estimators.candidates._ROUNDS", 3)
    result, outputs = run("rare-boosting", houses, tmp_path)
    data = loaded(houses)
    model = RareRegressor("boosting", bins=Bins(data.splits.bins.edges[0].tolist(), clamp=True), random_state=1)
    model.fit(data.columns["train"], data.splits.train.labels.double().numpy())
    assert outputs.predictions == pytest.approx(model.predict(data.columns["test"]), rel=1e-5)
    assert (result.epochs, result.checkpoint["epoch"]) == (1, 0)


def test_rare_has_networks_among_its_candidates(houses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    class Recorded(RareRegressor):
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
            found.append((self.candidates, list(X.kinds), len(y)))
            raise KeyboardInterrupt

    monkeypatch.setattr("conr.bench.table_models.RareRegressor", Recorded)
    with pytest.raises(KeyboardInterrupt):
        run("rare", houses, tmp_path)
    assert found == [("auto", ["size", "place", "built"], 240)]


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("hgb>isotonics", "hgb>isotonics: map: expected one of 'linear', 'isotonic', got 'isotonics'; did you mean"),
        ("hgb>linear+lds", r"hgb>linear\+lds: weights of the map: expected one of '', '\+sqinv', '\+inv', got '\+lds'"),
        ("hgb+catboost", r"expected one model of hgb, lightgbm, catboost, .* got hgb and catboost"),
        ("sqinv>linear", r"sqinv>linear: expected one model of hgb, .*, got none"),
        ("rare+sqinv", r"rare\+sqinv: expected 'rare' alone, as it chooses weights and corrections itself"),
        ("rare>linear", "rare>linear: expected 'rare' alone"),
        ("hgb+oversample>linear", "expected 'oversample' or a correction, got both"),
        ("tabm+mse", r"tabm\+mse: expected 'oversample' or sample weights"),
    ],
)
def test_parts_that_do_not_go_together_are_an_error_before_anything_runs(method: str, message: str) -> None:
    assert is_baseline(method)
    with pytest.raises(ValueError, match=message):
        check_baseline("abalone", method)


def test_an_unknown_name_is_answered_with_all_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of 'vanilla', .*'hgb', 'lightgbm', .*, got 'xgboost'"):
        grid_tasks(["abalone"], ["xgboost+sqinv"], 1)


@pytest.mark.parametrize("package", ["catboost", "pytabkit", "lightgbm"])
def test_a_missing_package_is_told_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda name: None if name == package else name)
    method = {"pytabkit": "realmlp"}.get(package, package)
    with pytest.raises(
        ImportError, match=rf"^{method} needs {package}, not installed here: pip install 'conr\[bench\]'"
    ):
        check_baseline("table", method)


def test_a_grid_runs_them_beside_networks(houses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ["lightgbm+sqinv", "hgb>linear"]
    for name in ("lightgbm", "hgb"):
        monkeypatch.setitem(MODELS, name, MODELS[name]._replace(iterations=5))
    tasks = grid_tasks(["table"], methods, 1)
    options = settings(houses) | {"trainer.max_epochs": 2}
    folders = run_grid(tasks, tmp_path, options=options)
    assert [RunResult.read(folder).method for folder in folders] == methods
