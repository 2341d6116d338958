"""The presets of STS-B-DIR through the command line, on made-up files in the true format."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from docs.tables import ROOT
from tests.data.miniature.sts_b import VECTOR_WIDTH, write_encoder, write_glove, write_sts_b

from conr.cli.main import main
from conr.methods.presets import preset_config, preset_names
from conr.runs.results import RunResult

pytest.importorskip("transformers", reason="sentence encoders come with the extra text")

QUIET = [
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.accelerator=cpu",
    "--trainer.log_every_n_steps=1",
]
# One of no parts and one of all; that others are what they say, test_presets and test_resolved know.
MINILM = ["sts-b-dir-vanilla", "sts-b-dir-lds+conr"]
BILSTM = ["sts-b-dir-bilstm-lds+conr"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data below ``data``, an encoder below ``encoder``, and ``glove.txt``."""
    folder = tmp_path_factory.mktemp("sts-b")
    write_sts_b(folder / "data")
    write_encoder(folder / "encoder")
    write_glove(folder / "glove.txt")
    return folder


def _encoder_options(folder: Path) -> list[str]:
    return [
        f"--data.root={folder / 'data'}",
        f"--data.encoder.init_args.model={folder / 'encoder'}",
        f"--data.cache={folder / 'cache'}",
        "--model.encoder.init_args.in_features=8",
    ]


def _word_options(folder: Path) -> list[str]:
    return [
        f"--data.root={folder / 'data'}",
        f"--data.vectors={folder / 'glove.txt'}",
        f"--model.encoder.init_args.in_features={VECTOR_WIDTH}",
        "--model.encoder.init_args.hidden=4",
        "--model.head.init_args.in_features=32",
    ]


@pytest.mark.parametrize("preset", [*MINILM, *BILSTM])
def test_a_preset_trains_tests_and_predicts(preset: str, folder: Path, tmp_path: Path) -> None:
    words = preset in BILSTM
    # The BiLSTM is validated every tenth epoch: its second epoch is made the tenth here.
    options = [*_word_options(folder), "--trainer.check_val_every_n_epoch=2"] if words else _encoder_options(folder)
    assert preset in preset_names() or "+" in preset
    assert (
        main(["fit", "--config", preset, *options, "--trainer.max_epochs=2", f"--output.root={tmp_path}", *QUIET]) == 0
    )
    (run,) = tmp_path.glob("*/*/seed-0")
    dataset = "sts-b-dir-bilstm" if words else "sts-b-dir"
    assert run.relative_to(tmp_path).parts[:2] == (dataset, preset.removeprefix(f"{dataset}-"))
    assert main(["test", "--run", str(run), *QUIET]) == 0
    result = RunResult.read(run)
    assert (result.dataset, result.headline, result.epochs) == (dataset, "mse", 2)
    assert [result.metrics[region]["count"] for region in ("all", "many", "median", "few")] == _test_counts(folder)
    assert result.checkpoint["monitor"] == "val/mse"
    assert 0 < result.metrics["all"]["mse"] < 25
    assert main(["predict", "--run", str(run), *QUIET]) == 0
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert rows[0]["id"] == "test-row-2"
    error = sum((float(row["prediction"]) - float(row["label"])) ** 2 for row in rows) / len(rows)
    assert error == pytest.approx(result.metrics["all"]["mse"], rel=1e-4)


def _test_counts(folder: Path) -> list[int]:
    """Test pairs over all and by the authors' regions, counted from the file's text."""
    scores = [float(line.split("\t")[9]) for line in (folder / "data" / "test_new.tsv").read_text().splitlines()[1:]]
    bins = [min(round(1000 * score) // 100, 49) for score in scores]
    many = sum(b in {0, 49} or (b >= 10 and b % 2 == 0) for b in bins)
    median = sum(b in (2, 4, 6, 8, 27, 35, 37) for b in bins)
    return [40, many, median, 40 - many - median]


def test_the_presets_are_what_the_search_chose() -> None:
    record = json.loads((ROOT / "results" / "sts-b-dir" / "tuning.json").read_text())
    assert set(record["chosen"]) == {"vanilla", "lds", "conr", "lds+conr"}
    for method, chosen in record["chosen"].items():
        runs = [run for run in record["runs"] if run["method"] == method]
        by_draw = {draw: [run["mse"] for run in runs if run["draw"] == draw] for draw in range(len(record["draws"]))}
        finalists = [draw for draw, values in by_draw.items() if len(values) == 5]
        assert len(finalists) == 3
        assert sorted(len(values) for values in by_draw.values())[:-3] == [2] * 13
        assert chosen["draw"] == min(finalists, key=lambda draw: sum(by_draw[draw]))
        model = preset_config(f"sts-b-dir-{method}")["model"]
        drawn = record["draws"][chosen["draw"]]
        network, optimizer = model["encoder"]["init_args"], model["optimizer"]["init_args"]
        assert [network["hidden"], network["dropout"]] == [drawn["hidden"], drawn["dropout"]]
        assert [optimizer["lr"], optimizer.get("weight_decay", 0)] == [drawn["lr"], drawn["weight_decay"]]
        if "conr" in method:
            conr = model["regularizers"]["conr"]
            loss = conr["loss"]["init_args"]
            assert [loss["window"], loss["temperature"]] == [drawn["window"], drawn["temperature"]]
            assert conr["coefficient"] == drawn["coefficient"]


def test_the_published_recipe() -> None:
    base = preset_config("sts-b-dir-bilstm-vanilla")
    trainer, model = base["trainer"], base["model"]
    assert model["optimizer"]["init_args"]["lr"] == 1e-4
    assert model["head"]["init_args"]["scale"] == 5
    # In label units the loss is 25 times as large as with labels divided by 5.
    assert model["optimizer"]["init_args"]["weight_decay"] == pytest.approx(25 * 1e-5)
    assert trainer["gradient_clip_val"] == 25 * 5
    assert base["data"]["init_args"]["batch_size"] == 128
    batches = -(-5249 // 128)
    assert trainer["check_val_every_n_epoch"] * batches == pytest.approx(400, rel=0.05)
    assert trainer["max_epochs"] * batches == pytest.approx(100 * 400, rel=0.01)
    (stopping,) = trainer["callbacks"]
    assert stopping["init_args"] == {"monitor": "val/mse", "mode": "min", "patience": 10}


def test_a_step_in_units_of_five_is_the_published_step() -> None:
    """Adam on 25 times the loss, 25 times the weight decay and a head that multiplies by 5 gives the same weights."""
    torch.manual_seed(0)
    features, labels = torch.randn(64, 6, dtype=torch.float64), 5 * torch.rand(64, dtype=torch.float64)
    weights = []
    for scale, decay, clip in ((1.0, 1e-2, 0.1), (5.0, 0.25, 2.5)):
        layer = torch.nn.Linear(6, 1).double()
        torch.nn.init.constant_(layer.weight, 0.3)
        torch.nn.init.zeros_(layer.bias)
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2, weight_decay=decay, eps=1e-30)
        for _ in range(20):
            predictions = scale * layer(features).squeeze(1)
            loss = (predictions - labels * scale / 5).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), clip)
            optimizer.step()
        weights.append(layer.weight.detach())
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-9)


def test_views_are_chosen_by_name_and_by_class(folder: Path, tmp_path: Path) -> None:
    views = {
        "class_path": "conr.data.PairViews",
        "init_args": {"steps": ["swap", {"class_path": "conr.data.MixPairs", "init_args": {"strength": 0.1}}]},
    }
    path = tmp_path / "views.yaml"
    path.write_text(yaml.safe_dump({"model": {"views": views}}))
    options = [*_encoder_options(folder), f"--config={path}", "--trainer.max_epochs=1", f"--output.root={tmp_path}"]
    assert main(["fit", "--config=sts-b-dir-conr", *options, *QUIET]) == 0
    (run,) = tmp_path.glob("*/*/seed-0")
    kept = yaml.safe_load((run / "config.yaml").read_text())["model"]["views"]["init_args"]["steps"]
    assert kept[0] == "swap"
    assert kept[1]["init_args"] == {"strength": 0.1}


def test_what_is_missing_is_named_in_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_sts_b(tmp_path / "data", train=8, val=8, test=8)
    cases = {
        "model: expected 'minilm' or the folder of a transformer": f"--data.encoder.init_args.model={tmp_path / 'no'}",
        "expected the train split of STS-B-DIR, found no file": f"--data.root={tmp_path / 'nowhere'}",
    }
    for message, option in cases.items():
        options = [*_encoder_options(folder), f"--data.root={root}", option, f"--output.root={tmp_path / 'runs'}"]
        assert main(["fit", "--config=sts-b-dir-vanilla", *options, *QUIET]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert "Traceback" not in printed
    options = [*_word_options(folder), f"--data.vectors={tmp_path / 'no.txt'}", f"--output.root={tmp_path / 'runs'}"]
    assert main(["fit", "--config=sts-b-dir-bilstm-vanilla", *options, *QUIET]) == 2
    assert "expected word vectors (such as glove.840B.300d.txt), found no file" in capsys.readouterr().err


def test_bad_rows_are_left_out_on_request(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_sts_b(tmp_path / "data", train=8, val=8, test=8)
    with (root / "train_new.tsv").open("a") as file:
        file.write("8\tmade-up\tslots\t2026\t0008\tnone\tnone\tA dog.\tA cat.\tnan\n")
    options = [*_encoder_options(folder), f"--data.root={root}", f"--output.root={tmp_path}", "--trainer.max_epochs=1"]
    assert main(["fit", "--config=sts-b-dir-vanilla", *options, *QUIET]) == 2
    assert "train_new.tsv, row 10: score: expected a number in [0, 5], got 'nan'" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="1 of 9 rows left out"):
        assert main(["fit", "--config=sts-b-dir-vanilla", *options, "--data.skip_bad=true", *QUIET]) == 0
