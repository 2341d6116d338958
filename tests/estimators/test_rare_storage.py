import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import Ridge

from conr.density import Bins
from conr.estimators import ConRRegressor, RareRegressor, TableModel, default_candidates, fit_table
from conr.estimators.sealing import DIGEST

pytest.importorskip("skops")

RANDOM = np.random.default_rng(0)
Y = RANDOM.gamma(1.0, 10.0, 300)
HOUSES = pd.DataFrame({"size": Y + RANDOM.normal(size=300) * 10, "place": np.where(Y > 9, "town", "village")})


class Foreign(Ridge):  # type: ignore[misc]
    """A model of no package that is known."""


def candidates() -> dict[str, Any]:
    found = default_candidates(networks=False)
    for one in found.values():
        one.set_params(estimator__estimator__max_iter=5)
    return found | {"sqinv": ConRRegressor("sqinv", members=2, width=16, max_epochs=2)}


@pytest.fixture(scope="module")
def model() -> RareRegressor:
    fitted = RareRegressor(candidates(), bins=Bins.by_width(width=5, low=0, high=100), cv=3, random_state=0)
    fitted.fit(HOUSES, Y)
    # A network and boosting, whatever was chosen, so that both are stored.
    both = {name: fitted.estimators_.get(name) for name in ("hgb", "sqinv")}
    if None in both.values():
        for name, missing in both.items():
            if missing is None:
                alone = RareRegressor({name: candidates()[name]}, cv=3, random_state=0).fit(HOUSES, Y)
                fitted.estimators_[name] = alone.estimators_[name]
                fitted.blend_.append(alone.blend_[0]._replace(weight=0.25))
    return fitted


@pytest.fixture(scope="module")
def folder(model: RareRegressor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model.save(tmp_path_factory.mktemp("models") / "rare")


def test_a_loaded_model_is_the_saved_one(model: RareRegressor, folder: Path) -> None:
    again = RareRegressor.load(folder)
    np.testing.assert_allclose(again.predict(HOUSES), model.predict(HOUSES), rtol=1e-12)
    np.testing.assert_allclose(again.predict_interval(HOUSES), model.predict_interval(HOUSES), rtol=1e-12)
    np.testing.assert_equal(again.evaluate(HOUSES, Y), model.evaluate(HOUSES, Y))
    np.testing.assert_equal(again.leaderboard_, model.leaderboard_)
    np.testing.assert_equal(again.tradeoff_._asdict(), model.tradeoff_._asdict())
    assert again.kinds_ == model.kinds_
    assert again.feature_names_in_.tolist() == ["size", "place"]
    assert set(again.candidates) == {name for name in model.estimators_ if ">" not in name}


def test_no_file_is_a_pickle(folder: Path) -> None:
    endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert endings == {".json", ".safetensors", ".skops"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.safetensors", "weights.safetensors: expected the file that model.json was saved with"),
        ("candidate-*/fold-0.skops", "fold-0.skops: expected the file that model.json was saved with"),
        ("candidate-*/fold-1/model.json", "model.json: expected the file that model.json was saved with"),
    ],
)
def test_changed_files_are_refused(name: str, message: str, folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    file = next(damaged.glob(name))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=message):
        RareRegressor.load(damaged)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=file.name):
        RareRegressor.load(damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format: expected 'conr.RareRegressor', got 'other'"),
        ({"blend": [{"candidate": "none", "map": "linear", "weight": 1.0}]}, "blend: expected one of"),
        ({"settings": {"candidates": "auto", "cvv": 3}}, "did you mean 'cv'"),
    ],
)
def test_wrong_descriptions_are_refused(change: dict[str, Any], message: str, folder: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(folder, tmp_path / "changed")
    file = changed / "model.json"
    description = json.loads(file.read_text())
    del description[DIGEST]
    file.write_text(json.dumps(description | change))  # an earlier version wrote no digest
    with pytest.raises(ValueError, match=message):
        RareRegressor.load(changed)


def test_classes_of_others_are_made_if_they_are_trusted(tmp_path: Path) -> None:
    x = HOUSES[["size"]].to_numpy()
    model = RareRegressor({"mine": Foreign()}, cv=3, random_state=0).fit(x, Y)
    model.save(tmp_path)
    name = f"{Foreign.__module__}.Foreign"
    with pytest.raises(ValueError, match=f"expected classes that are trusted, got {name}: name them in trusted"):
        RareRegressor.load(tmp_path)
    np.testing.assert_allclose(RareRegressor.load(tmp_path, trusted=[name]).predict(x), model.predict(x))


def test_a_file_of_skops_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = skops.io.loads

    def loads(data: bytes, trusted: list[str]) -> Any:
        read.append(len(data))
        return original(data, trusted)

    monkeypatch.setattr("skops.io.loads", loads)
    monkeypatch.setattr("skops.io.get_untrusted_types", lambda **_: pytest.fail("read twice"))
    RareRegressor.load(folder)
    assert len(read) == len(list(folder.rglob("*.skops")))


def test_a_model_of_a_file_is_stored(tmp_path: Path) -> None:
    """How the numbers of its columns are written, here with a unit, is a part of the model."""
    file = tmp_path / "houses.csv"
    HOUSES.assign(size=[f"{size:.2f} m" for size in HOUSES["size"]], price=Y.round(2)).to_csv(file, index=False)
    fitted = fit_table(file, "price", RareRegressor({"hgb": candidates()["hgb"]}, cv=3, random_state=0)).model
    fitted.save(tmp_path / "model")
    rows = fitted.rows(file, labels=False)
    assert TableModel.load(tmp_path / "model").predict(rows).tolist() == fitted.predict(rows).tolist()


def test_what_cannot_be_stored_is_said(tmp_path: Path) -> None:
    class Local(Ridge):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Any:  # noqa: N803
            self.generator_ = (one for one in (1, 2))
            return super().fit(X, y)

    model = RareRegressor({"mine": Local()}, cv=3).fit(HOUSES[["size"]].to_numpy(), Y)
    with pytest.raises(TypeError, match="expected a model that skops can store, got Local"):
        model.save(tmp_path)
