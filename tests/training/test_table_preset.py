"""The preset ``table`` as typed: fit, test and predict on files of one's own."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning import Trainer
from torch.utils.data import Subset

from conr.cli.main import main
from conr.data import Splits, Table
from conr.estimators import ConRRegressor
from conr.methods.lengths import default_batch_size
from conr.models import MLP
from conr.rare import GivenPredictions, RareIntervals
from conr.runs.folder import LAST_CHECKPOINT
from conr.runs.results import RunResult
from conr.training import RegressionModule, TableLength, split_predictions
from conr.training.options import RunOptions, expand_presets

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]

pytestmark = pytest.mark.filterwarnings("ignore:.*not UTF-8, so read as Windows-1252:UserWarning")


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """German houses: semicolons, decimal commas, Latin-1, missing values, prices in the hundred thousands."""
    random = np.random.default_rng(0)
    lines = ["fläche;ort;preis"]
    for row in range(240):
        area = random.exponential(60) + 40
        place = ("Köln", "Aachen", "")[row % 3]
        lines.append(f"{'' if row % 17 == 0 else f'{area:.1f}'};{place};{3000 * area + 50_000 * (row % 3):.2f}")
    path = tmp_path_factory.mktemp("data") / "preise.csv"
    path.write_bytes("\n".join(lines).replace(".", ",").encode("latin-1"))
    return path


@pytest.fixture(scope="module")
def run(prices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    words = ["fit", "--config=table-conr", f"--data.path={prices}", "--data.target=preis", "--trainer.max_epochs=2"]
    assert main([*words, "--data.few=3", "--data.many=10", f"--output.root={root}", *QUIET]) == 0
    return root / "table-preise" / "conr" / "seed-0"


def latest_rows(run: Path) -> list[dict[str, str]]:
    """Content of the newest file of predictions."""
    latest = max(run.glob("predictions*.csv"), key=lambda path: path.stat().st_mtime_ns)
    with latest.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fit_keeps_the_whole_configuration(run: Path, prices: Path) -> None:
    configuration = yaml.safe_load((run / "config.yaml").read_text())
    assert configuration["data"]["init_args"]["path"] == str(prices)
    assert configuration["model"]["encoder"]["class_path"] == "conr.models.TableEncoder"
    assert configuration["model"]["standardise_labels"] is True


def test_the_network_and_the_settings_are_the_estimator_s(run: Path, prices: Path) -> None:
    data = Table(path=str(prices), target="preis")
    content = data.content()
    rows = data.file.split(content)["train"]
    settings: dict[str, Any] = {"early_stopping": False, "max_epochs": 1, "device": "cpu"}
    model = ConRRegressor(**settings).fit(content.inputs.take(rows), content.labels[rows].numpy())
    trained = torch.load(run / LAST_CHECKPOINT, weights_only=True)
    weights = {name: value for name, value in trained["state_dict"].items() if name.startswith(("encoder.", "head."))}
    expected = model.network_.state_dict()
    assert {name: value.shape for name, value in weights.items()} == {n: value.shape for n, value in expected.items()}
    config = yaml.safe_load((run / "config.yaml").read_text())["model"]
    of_estimator = model.get_params()
    assert all(of_estimator[name] == value for name, value in config["encoder"]["init_args"].items())
    optimizer = config["optimizer"]["init_args"]
    assert (optimizer["lr"], optimizer["weight_decay"]) == (of_estimator["learning_rate"], of_estimator["weight_decay"])
    assert (len(data.splits.train), data.batch_size) == (len(rows), default_batch_size(len(rows)))


@pytest.mark.parametrize(("given", "epochs", "patience"), [(-1, 180, 60), (20, 20, 10)])
def test_epochs_follow_the_rows_unless_they_are_given(given: int, epochs: int, patience: int, prices: Path) -> None:
    trainer = Trainer(max_epochs=given, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.datamodule = Table(path=str(prices), target="preis")  # type: ignore[attr-defined]
    length = TableLength()
    length.setup(trainer, RegressionModule(MLP(3)), "fit")
    assert (trainer.max_epochs, length.patience) == (epochs, patience)
    length.setup(trainer, RegressionModule(MLP(3), criterion_coefficient=0.0), "fit")
    assert length.patience == epochs


def test_test_measures_in_label_units(run: Path) -> None:
    assert main(["test", "--run", str(run), *QUIET]) == 0
    result = RunResult.read(run)
    assert (result.dataset, result.label["name"], result.epochs) == ("table-preise", "preis", 2)
    assert 1000 < result.metrics["all"]["mae"] < 1_000_000
    assert {"many", "few"} <= set(result.bins["regions"])


def test_predict_gives_prices(run: Path) -> None:
    assert main(["predict", "--run", str(run), *QUIET]) == 0
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "label", "prediction"]
    assert all(row["id"].startswith("row-") and float(row["label"]) > 100_000 for row in rows)
    assert 50_000 < np.mean([float(row["prediction"]) for row in rows]) < 1_000_000


def test_predict_takes_other_rows_without_a_target(run: Path, prices: Path) -> None:
    new = prices.with_name("neu.csv")
    new.write_text("ort;fläche\nAachen;80,5\nBonn;\n", encoding="latin-1")
    with pytest.warns(UserWarning, match=r"column 'ort': .*, got 'Bonn' \(row 3\): treated as none of them"):
        assert main(["predict", "--run", str(run), f"--data.predict_path={new}", *QUIET]) == 0
    rows = latest_rows(run)
    assert [row["id"] for row in rows] == ["row-2", "row-3"]
    assert list(rows[0]) == ["id", "prediction"]
    assert float(rows[0]["prediction"]) > 10_000


def test_predict_bounds_what_the_validation_split_has_shown(run: Path, prices: Path) -> None:
    assert main(["predict", "--run", str(run), "--interval", "0.8", *QUIET]) == 0
    rows = latest_rows(run)
    assert list(rows[0]) == ["id", "label", "prediction", "low", "high"]
    known = split_predictions(run)
    bins = Table(path=str(prices), target="preis").splits.bins
    expected = RareIntervals(GivenPredictions(), 0.8, cv="prefit", bins=bins).fit(known.predictions, known.labels)
    assert len(expected.quantiles_) > 1  # a quantile per group of labels
    bounds = expected.predict_interval(np.array([float(row["prediction"]) for row in rows]))
    found = np.array([[float(row["low"]), float(row["high"])] for row in rows])
    assert found == pytest.approx(bounds, rel=1e-4)
    new = prices.with_name("offen.csv")
    new.write_text("ort;fläche\nAachen;80,5\nKöln;\n", encoding="latin-1")
    assert main(["predict", "--run", str(run), "--interval=0.8", f"--data.predict_path={new}", *QUIET]) == 0
    assert list(latest_rows(run)[0]) == ["id", "prediction", "low", "high"]


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ("1.5", "interval: coverage: expected a number below 1, got 1.5"),
        ("0", "interval: coverage: expected a number above 0, got 0"),
        ("0.999", "interval: the validation split: y: expected at least 999 rows for this coverage, got"),
        ("wide", "--interval: expected a number or null, got 'wide'"),
    ],
)
def test_an_interval_that_cannot_be_is_one_line(
    interval: str, message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--run", str(run), f"--interval={interval}", *QUIET]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_an_interval_needs_a_validation_split(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Table.load

    def without(self: Table) -> Splits:
        splits = load(self)
        return replace(splits, val=Subset(splits.val, []))  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "load", without)
    assert main(["predict", "--run", str(run), "--interval=0.9", *QUIET]) == 2
    assert "interval: expected a run with a validation split, got one without" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*15 of 240 rows left out:UserWarning")
def test_an_interval_is_of_one_label(prices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--config=table-vanilla", f"--data.path={prices}", '--data.target=["preis", "fläche"]']
    assert main([*words, "--data.skip_bad=true", "--trainer.max_epochs=1", f"--output.root={tmp_path}", *QUIET]) == 0
    folder = tmp_path / "table-preise" / "vanilla" / "seed-0"
    assert main(["predict", "--run", str(folder), "--interval=0.9", *QUIET]) == 2
    assert "interval: expected one label per sample, got 2" in capsys.readouterr().err


def test_a_protocol_has_its_own_folder_and_stays_with_the_run(prices: Path, tmp_path: Path) -> None:
    words = ["fit", "--config=table-vanilla", f"--data.path={prices}", "--data.target=preis", "--trainer.max_epochs=1"]
    gap = ["--protocol=BlindSpot", "--protocol.low=250000", "--protocol.high=300000", "--protocol.test_per_bin=5"]
    assert main([*words, *gap, "--data.bin_width=50000", f"--output.root={tmp_path}", *QUIET]) == 0
    folder = tmp_path / "table-preise-blind-spot-250000-300000" / "vanilla" / "seed-0"
    assert main(["test", "--run", str(folder), *QUIET]) == 0
    result = RunResult.read(folder)
    assert result.dataset == "table-preise-blind-spot-250000-300000"
    edges, counts = np.array(result.bins["edges"][0]), np.array(result.bins["train_counts"])
    inside = (edges[:-1] >= 250_000) & (edges[1:] <= 300_000)
    assert inside.any()
    assert counts[inside].sum() == 0


def test_views_are_chosen_by_name(prices: Path, tmp_path: Path) -> None:
    words = ["--config=table-mlp+conr", f"--data.path={prices}", "--data.target=preis", "--trainer.max_epochs=1"]
    views = ["--model.views=MixViews", "--model.views.window=0.1"]
    assert main(["fit", *words, *views, f"--output.root={tmp_path}", *QUIET]) == 0
    configuration = yaml.safe_load((tmp_path / "table-preise" / "mlp+conr" / "seed-0" / "config.yaml").read_text())
    assert configuration["model"]["views"]["class_path"] == "conr.data.MixViews"
    none = RunOptions(expand_presets([*words, "--model.views=null", "--model.encoder.dropout=0.2"])).config.model
    assert (none.views, none.encoder.init_args.dropout) == (None, 0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.target=price"], "('fläche', 'ort', 'preis'), got 'price'; did you mean 'preis'?"),
        (["--data.target=ort"], "column 'ort': expected numbers as labels, got text in"),
        (["--data.target=preis", "--protocol=BlindSpot", "--protocol.low=0", "--protocol.high=1"], "test_per_bin"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    options: list[str], message: str, prices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", "--config=table-vanilla", f"--data.path={prices}", f"--output.root={tmp_path}", *QUIET]
    assert main([*words, *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
