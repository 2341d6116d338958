import hashlib
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from sklearn.exceptions import NotFittedError

from conr.estimators import ConRRegressor
from conr.estimators.sealing import DIGEST, write_sealed

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 1, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": np.where(np.arange(80) % 9 == 0, np.nan, random.normal(size=80)),
            "place": random.choice(["north", "south"], 80),
        }
    )


@pytest.fixture(scope="module")
def whole(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ConRRegressor(**SMALL).fit(frame, np.arange(80.0)).save(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


def change(folder: Path, **values: Any) -> None:
    """As someone does who knows the format."""
    description = json.loads((folder / "model.json").read_text())
    del description[DIGEST]
    write_sealed(folder / "model.json", {**description, **values})


def change_tensor(folder: Path, name: str, value: Any) -> None:
    """As someone does who knows the format."""
    tensors = load_file(folder / "weights.safetensors")
    tensors[name] = value(tensors[name])
    save_file(tensors, folder / "weights.safetensors")
    change(folder, weights_sha256=hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("method", "embedding"),
    [
        ("sqinv+conr", "piecewise"),
        ("vanilla", "periodic"),
        ("hca", "none"),
        ("evidential", "piecewise"),
        ("uvote", "piecewise"),
        ("vir", "piecewise"),
        ("rrt", "piecewise"),
    ],
)
def test_what_was_saved_predicts_the_same(method: str, embedding: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    labels = np.arange(80.0) ** 2
    model = ConRRegressor(method, embedding=embedding, **SMALL).fit(frame, labels)
    loaded = ConRRegressor.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    np.testing.assert_array_equal(loaded.transform(frame), model.transform(frame))
    for region, metrics in model.evaluate(frame, labels).items():
        assert loaded.evaluate(frame, labels)[region] == pytest.approx(metrics, nan_ok=True)
    assert loaded.get_params() == model.get_params()
    assert loaded.settings_ == model.settings_
    assert loaded.feature_names_in_.tolist() == ["size", "place"]


@pytest.mark.parametrize("settings", [{"members": 1}, {"scaling": "standard"}, {"preprocess": False}])
def test_matrices_and_several_targets(settings: dict[str, Any], tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    model = ConRRegressor(**{**SMALL, **settings}).fit(inputs, inputs[:, :2])
    loaded = ConRRegressor.load(model.save(tmp_path))
    np.testing.assert_array_equal(loaded.predict(inputs), model.predict(inputs))


def test_the_folder_holds_two_files_and_no_code(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "weights.safetensors"]
    assert "class_path" not in (saved / "model.json").read_text()


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(name: str, share: float, saved: Path) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=name):
        ConRRegressor.load(saved)


def test_a_changed_number_is_refused(saved: Path) -> None:
    path = saved / "model.json"
    whole = path.read_text()
    for number in re.findall(r"(?<=: )\d[\d.]*", whole):
        # The first digit, as the seventeenth may be no difference.
        path.write_text(whole.replace(f": {number}", f": {(int(number[0]) + 1) % 10}{number[1:]}", 1))
        with pytest.raises(
            ValueError, match=r"model\.json: (?:expected what was saved, got a desc|version: |expected v)"
        ):
            ConRRegressor.load(saved)


def test_a_model_of_an_earlier_version_has_no_digest(saved: Path, frame: pd.DataFrame) -> None:
    predictions = ConRRegressor.load(saved).predict(frame)
    description = json.loads((saved / "model.json").read_text())
    del description[DIGEST]
    (saved / "model.json").write_text(json.dumps(description))
    np.testing.assert_array_equal(ConRRegressor.load(saved).predict(frame), predictions)


def test_a_missing_file_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*nothing"):
        ConRRegressor.load(tmp_path / "nothing")
    (saved / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors"):
        ConRRegressor.load(saved)


def test_a_pickle_is_not_executed(saved: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (saved / "executed",))

    content = pickle.dumps(Hostile())
    (saved / "weights.safetensors").write_bytes(content)
    change(saved, weights_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ValueError, match=r"expected a model that ConRRegressor\.save wrote"):
        ConRRegressor.load(saved)
    assert not (saved / "executed").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "other"}, "format"),
        ({"version": 1}, "expected version 2 of the format, got 1 .* fit the model anew"),
        ({"weights_sha256": "0" * 64}, "truncated or another one"),
        ({"more": 1}, "got 'more', too"),
        ({"settings": {"windw": 1}}, "did you mean 'window'"),
        ({"settings": {"width": 10**9}}, "weights: expected those of"),
        ({"settings": {**SMALL, "method": "../../secret"}}, "method: expected a method of"),
        ({"settings": {"width": "wide"}}, "width: expected a whole number"),
        ({"settings": []}, "settings: expected names with values"),
        ({"n_features": -1}, "n_features: expected a whole number"),
        ({"embedded": [10**9], "plain": []}, "expected a model"),
        ({"embedded": ["a"]}, r"embedded\[0\]: expected a whole number"),
        ({"feature_names": ["one"]}, "feature_names: expected 2 texts"),
        ({"n_outputs": 3}, "is_flat: expected false for 3 outputs, got true"),
        ({"encoding": {}}, "expected a model"),
        ({"conr_settings": {"a": 1}}, "expected a model"),
    ],
)
def test_a_changed_description_is_refused(values: dict[str, Any], message: str, saved: Path) -> None:
    change(saved, **values)
    with pytest.raises(ValueError, match=message):
        ConRRegressor.load(saved)


def test_changed_weights_are_refused(saved: Path) -> None:
    change_tensor(saved, "network.head.linear.weight", lambda value: value * float("nan"))
    with pytest.raises(ValueError, match=r"head\.linear\.weight: expected finite numbers"):
        ConRRegressor.load(saved)


def test_weights_of_another_shape_are_refused(saved: Path) -> None:
    change_tensor(saved, "network.head.linear.weight", lambda value: value[:, :3].contiguous())
    with pytest.raises(ValueError, match=r"expected a model that ConRRegressor\.save wrote"):
        ConRRegressor.load(saved)


def test_what_cannot_be_saved(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        ConRRegressor().save(tmp_path)
    model = ConRRegressor(**{**SMALL, "random_state": np.random.RandomState(0)}).fit(frame, np.arange(80.0))
    with pytest.raises(TypeError, match="random_state: expected a number, a text or a list of these to save"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_made(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        ConRRegressor(**SMALL).fit(frame, np.arange(80.0)).save(tmp_path / "file" / "model")
