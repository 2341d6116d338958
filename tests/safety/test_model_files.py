"""Damaged, hostile and changed models of the estimator and of ``conr table``."""

import hashlib
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import Ridge
from tests.safety.damage import DAMAGES, JSON_DAMAGES, refusal, refused, wrong_values

from conr.estimators import ConRRegressor, RareRegressor, TableModel
from conr.estimators.encoded import EncodedRegressor
from conr.estimators.sealing import DIGEST, write_sealed

SMALL: dict[str, Any] = {"members": 2, "width": 16, "max_epochs": 1, "random_state": 0, "device": "cpu"}
FILES = ("model.json", "weights.safetensors", "table.json")
OF_BLEND = (
    *FILES,
    "candidate-*/fold-1.skops",
    "candidate-*/fold-0/model.json",
    "candidate-*/fold-2/weights.safetensors",
)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"size": random.normal(size=80), "place": random.choice(["north", "south"], 80)})


@pytest.fixture(scope="module")
def whole(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = ConRRegressor(**SMALL).fit(frame, np.arange(80.0))
    model = TableModel(fitted, targets=["price"], source="houses.csv")
    folder = model.save(tmp_path_factory.mktemp("models") / "whole")
    frame.assign(price=np.arange(80.0)).to_csv(folder.parent / "houses.csv", index=False)
    return folder


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture(scope="module")
def whole_blend(whole: Path, frame: pd.DataFrame) -> Path:
    pytest.importorskip("skops")
    candidates = {"line": EncodedRegressor(Ridge()), "network": ConRRegressor(**SMALL)}
    fitted = RareRegressor(candidates, cv=3, random_state=0).fit(frame, np.arange(80.0))
    for name, one in candidates.items():  # both, whatever was chosen
        if name not in fitted.estimators_:
            alone = RareRegressor({name: one}, cv=3, random_state=0).fit(frame, np.arange(80.0))
            fitted.estimators_[name] = alone.estimators_[name]
            fitted.blend_.append(alone.blend_[0])
    return TableModel(fitted, targets=["price"], source="houses.csv").save(whole.parent / "blend")


@pytest.fixture
def blend(whole_blend: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_blend, tmp_path / "blend")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", OF_BLEND)
def test_a_damaged_file_of_a_blend_is_refused(name: str, damage: str, blend: Path, tmp_path: Path) -> None:
    file = next(blend.glob(name))
    file.write_bytes(DAMAGES[damage](file.read_bytes(), tmp_path / "executed"))
    message = refusal(lambda: TableModel.load(blend))
    assert message is not None
    assert "expected" in message
    assert str(file) in message
    assert not (tmp_path / "executed").exists()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(file))):
        TableModel.load(blend)


def test_changed_numbers_and_swapped_files_of_a_blend_are_refused(blend: Path, whole: Path) -> None:
    assert TableModel.load(blend).targets == ["price"]
    for name in ("model.json", "table.json"):
        text = (blend / name).read_text()
        number = re.findall(r"(?<=: )\d\.\d+|price", text)[-1]
        before, after = text.rsplit(number, 1)  # another one like it may be part of the version
        (blend / name).write_text(f"{before}{number[:-1]}{'1' if number[-1] != '1' else '2'}{after}")
        message = refusal(lambda: TableModel.load(blend))
        assert message is not None
        assert f"{blend / name}: expected what was saved, got a description that was changed" in message
        (blend / name).write_text(text)
    for name in OF_BLEND:
        file = next(blend.glob(name))
        other = whole / name
        if name not in FILES:
            other = (
                file.with_name("fold-0.skops") if name.endswith("skops") else next(blend.glob("*/fold-1")) / file.name
            )
        content = file.read_bytes()
        file.write_bytes(other.read_bytes())
        message = refusal(lambda: TableModel.load(blend))
        assert message is not None, name
        assert "expected the file that" in message, name
        file.write_bytes(content)
    TableModel.load(blend)


def test_a_file_of_skops_that_breaks_is_refused_whatever_its_digest(blend: Path) -> None:
    file = next(blend.glob("candidate-*/fold-0.skops"))
    content = file.read_bytes()[:200]
    file.write_bytes(content)
    described = unsealed(blend / "model.json")
    next(one for one in described["models"] if one["kind"] == "skops")["sha256"][0] = hashlib.sha256(
        content
    ).hexdigest()
    write_sealed(blend / "model.json", described)
    message = refusal(lambda: RareRegressor.load(blend))
    assert message is not None
    assert f"{file}: expected a model that RareRegressor.save wrote, got a broken one" in message


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_is_refused_in_one_line(
    name: str, damage: str, model: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prediction and evaluation read a model by the same function."""
    tmp_path, verb = model.parent, "evaluate" if damage == "empty" else "predict"
    mark = tmp_path / "executed"
    (model / name).write_bytes(DAMAGES[damage]((model / name).read_bytes(), mark))
    out = tmp_path / "out"
    words = ["table", verb, str(model), str(whole.parent / "houses.csv"), f"--out={out}"]
    refused(words, capsys, names=model)
    assert not out.exists()
    assert not mark.exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_weights_file_with_its_own_hash_is_refused(damage: str, model: Path, tmp_path: Path) -> None:
    """Whoever changes the weights can change the hash, too."""
    mark = tmp_path / "executed"
    content = DAMAGES[damage]((model / "weights.safetensors").read_bytes(), mark)
    (model / "weights.safetensors").write_bytes(content)
    change(model, weights_sha256=hashlib.sha256(content).hexdigest())
    message = refusal(lambda: ConRRegressor.load(model))
    assert message is not None
    assert f"{model}: expected a model" in message
    assert not mark.exists()


@pytest.mark.parametrize("damage", JSON_DAMAGES)
@pytest.mark.parametrize("name", ["model.json", "table.json"])
def test_json_of_another_form_is_refused(name: str, damage: str, model: Path) -> None:
    (model / name).write_text(JSON_DAMAGES[damage])
    message = refusal(lambda: TableModel.load(model))
    assert message is not None
    assert f"{name}: expected" in message


def unsealed(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    del content[DIGEST]
    return content


def change(folder: Path, **values: Any) -> None:
    """Whoever changes a description can change its digest, too."""
    write_sealed(folder / "model.json", {**unsealed(folder / "model.json"), **values})


@pytest.mark.parametrize("name", ["model.json", "table.json"])
def test_too_many_entries_are_refused_before_they_are_parsed(name: str, model: Path) -> None:
    content = json.loads((model / name).read_text())
    (model / name).write_text(json.dumps({**content, "history": [{"epoch": 1, "loss": 0.5}] * 250_000}))
    message = refusal(lambda: TableModel.load(model))
    assert message is not None
    assert f"{name}: expected JSON of at most 500000 values" in message


def test_a_changed_description_is_refused_or_harmless(model: Path, frame: pd.DataFrame) -> None:
    """A model that loads can predict, transform and be evaluated."""
    description = unsealed(model / "model.json")
    changed = wrong_values(description)
    for name in ("encoding", "conr_settings", "settings"):
        changed += [
            (f"{name}: {what}", {**description, name: inner}) for what, inner in wrong_values(description[name])
        ]
    histories: tuple[Any, ...] = ([1], [{"epoch": "x", "loss": []}], [{"a": 1}], [{}] * 2)
    changed += [(f"history = {value}", {**description, "history": value}) for value in histories]
    accepted = []
    for what, content in changed:
        write_sealed(model / "model.json", content)
        message = refusal(lambda: accepted.append(works(ConRRegressor.load(model), frame)))
        assert message is None or str(model) in message or "expected" in message, what
    assert len(accepted) < 0.5 * len(changed)


def test_changed_arrays_are_refused_or_harmless(model: Path, frame: pd.DataFrame) -> None:
    tensors = load_file(model / "weights.safetensors")
    for name, value in tensors.items():
        other: dict[str, Any] = {
            "gone": None,
            "flat": value.flatten(),
            "shorter": value[: len(value) // 2] if value.ndim else value,
            "longer": torch.cat((value, value)) if value.ndim else value.expand(3),
            "negative": -value,
            "of integers": value.long(),
            "zero": value * 0,
            "scalar": value.flatten()[:1].reshape(()) if value.numel() else value,
        }
        for what, one in other.items():
            changed = {**tensors, name: one}
            if one is None:
                del changed[name]
            save_file({key: each.contiguous().clone() for key, each in changed.items()}, model / "weights.safetensors")
            change(model, weights_sha256=hashlib.sha256((model / "weights.safetensors").read_bytes()).hexdigest())
            message = refusal(lambda: works(ConRRegressor.load(model), frame))
            assert message is None or str(model) in message, (name, what, message)


@pytest.mark.parametrize("values", [{"targets": ["a", "b"]}, {"targets": [3]}, {"numbers": []}])
def test_targets_that_are_not_the_model_s_are_refused(values: dict[str, Any], model: Path) -> None:
    write_sealed(model / "table.json", {**unsealed(model / "table.json"), **values})
    message = refusal(lambda: TableModel.load(model))
    assert message is not None
    assert re.search(r"table\.json: .*expected", message)


def works(model: ConRRegressor, frame: pd.DataFrame) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a category that a changed model does not know
        predictions = model.predict(frame)
        assert predictions.shape == (80,)
        assert model.transform(frame).shape[0] == 80
        assert model.evaluate(frame, np.arange(80.0))["all"]["count"] == 80
        assert isinstance(model.history_[model.best_epoch_ - 1].get("loss"), float | int | None)
    return True
