"""The presets of image datasets, through the command line, on datasets in miniature."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.data.miniature.agedb import write_agedb
from tests.data.miniature.folder import write_folder
from tests.data.miniature.imdb_wiki import write_imdb_wiki
from tests.data.miniature.utkface import write_utkface

from conr.cli.main import main
from conr.methods.presets import preset_config
from conr.models import ImageEncoder, SmallResNet
from conr.training.loading import load_run

MAKERS: dict[str, Callable[[Path], Path]] = {
    "agedb-dir": write_agedb,
    "imdb-wiki-dir": write_imdb_wiki,
    "folder": write_folder,
    "utkface-dir": write_utkface,
}
FOLDER = ("--data.bin_width=1", "--data.path_column=file", "--data.label_columns=weight", "--data.split_column=part")
OPTIONS = {"agedb-dir": (), "imdb-wiki-dir": (), "folder": FOLDER, "utkface-dir": ()}

SMALL = ("--model.encoder=conr.models.SmallCNN", "--model.encoder.in_channels=3", "--data.size=32")
QUICK = (
    "--trainer.max_epochs=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.log_every_n_steps=1",
    "--data.num_workers=0",
)

METHODS = ("vanilla", "inv", "sqinv", "lds", "conr")
# The others differ from what these and the tests below train by one fragment that they share.
USUAL = ("agedb-dir-vanilla", "agedb-dir-conr")
PRESETS = [
    pytest.param(dataset, method, marks=[] if f"{dataset}-{method}" in USUAL else pytest.mark.slow)
    for dataset in MAKERS
    for method in METHODS
]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {dataset: make(tmp_path_factory.mktemp(dataset)) for dataset, make in MAKERS.items()}


def _fit(output: Path, dataset: str, method: str, root: Path, *options: str) -> Path:
    where = (f"--config={dataset}-{method}", f"--data.root={root}", f"--output.root={output}")
    assert main(["fit", *where, *OPTIONS[dataset], *QUICK, *options]) == 0
    (folder,) = (output / dataset / method).iterdir()
    return folder


def _check_test_and_predictions(folder: Path, samples: int) -> None:
    assert main(["test", f"--run={folder}", "--trainer.enable_progress_bar=false"]) == 0
    result = json.loads((folder / "result.json").read_text())
    assert result["metrics"]["all"]["count"] == samples
    assert 0 < result["metrics"]["all"]["mae"] < 200
    assert result["epochs"] == 2
    assert len(result["bins"]["train_counts"]) == len(result["bins"]["edges"][0]) - 1
    assert main(["predict", f"--run={folder}", "--interval=0.5", "--trainer.enable_progress_bar=false"]) == 0
    with (folder / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == samples
    assert all(float(row["low"]) <= float(row["high"]) for row in rows)
    errors = [abs(float(row["label"]) - float(row["prediction"])) for row in rows]
    assert sum(errors) / samples == pytest.approx(result["metrics"]["all"]["mae"], rel=1e-4)


@pytest.mark.parametrize(("dataset", "method"), PRESETS)
def test_a_preset_trains(tmp_path: Path, roots: dict[str, Path], dataset: str, method: str) -> None:
    folder = _fit(tmp_path, dataset, method, roots[dataset], *SMALL)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    wanted = preset_config(f"{dataset}-{method}")
    assert saved["model"]["optimizer"]["init_args"]["lr"] == wanted["model"]["optimizer"]["init_args"]["lr"]
    assert saved["data"]["init_args"]["batch_size"] == wanted["data"]["init_args"]["batch_size"]
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    with next(folder.glob("csv/version_*/metrics.csv")).open() as file:
        names = set(csv.DictReader(file).fieldnames or ())
    assert {"train/criterion", "val/mae"} <= names
    assert ("train/conr" in names) == (method == "conr")


@pytest.mark.parametrize(
    ("dataset", "samples"),
    [("agedb-dir", 14), ("imdb-wiki-dir", 15), pytest.param("folder", 15, marks=pytest.mark.slow)],
)
def test_a_small_network_of_timm_trains_is_tested_and_predicts(
    tmp_path: Path, roots: dict[str, Path], dataset: str, samples: int
) -> None:
    folder = _fit(tmp_path, dataset, "lds+conr", roots[dataset], "--model.encoder.name=test_resnet", "--data.size=32")
    _check_test_and_predictions(folder, samples)


def test_the_size_of_the_images_chooses_network_and_crops(tmp_path: Path, roots: dict[str, Path]) -> None:
    folder = _fit(tmp_path, "folder", "conr", roots["folder"])  # 20 x 24 pixels
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["data"]["init_args"]["size"] == saved["model"]["encoder"]["init_args"]["size"] == 20
    module = load_run(folder).module
    assert isinstance(module.encoder, ImageEncoder)
    assert isinstance(module.encoder.network, SmallResNet)
    _check_test_and_predictions(folder, 15)


def test_pages_show_faces_as_ages_only(tmp_path: Path, roots: dict[str, Path]) -> None:
    folder = _fit(tmp_path, "utkface-dir", "sqinv+conr", roots["utkface-dir"], "--data.size=32")
    _check_test_and_predictions(folder, 33)
    assert main(["explain", str(folder)]) == 0
    page = (folder / "explanation.html").read_text()
    assert "Worst errors" in page
    assert "label 90, predicted" in page
    assert not re.search(r"<img|\.jpg|_2017", page)


def test_several_labels_take_a_head_of_their_size(tmp_path: Path, roots: dict[str, Path]) -> None:
    labels = ("--data.label_columns=[weight,height]", "--data.bin_width=[1,10]")
    window = "--model.regularizers.conr.loss.window=0.5"
    folder = _fit(tmp_path, "folder", "conr", roots["folder"], *SMALL, *labels, window)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["model"]["regularizers"]["conr"]["loss"]["init_args"]["window"] == 0.5
    assert main(["predict", f"--run={folder}", "--trainer.enable_progress_bar=false"]) == 0
    with (folder / "predictions.csv").open() as file:
        assert next(csv.reader(file)) == ["id", "label_0", "label_1", "prediction_0", "prediction_1"]


def test_the_command_names_file_and_row_of_an_unreadable_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_agedb(tmp_path / "data")
    file = root / (root / "agedb.csv").read_text().splitlines()[1].split(",")[1]
    file.write_bytes(file.read_bytes()[:300])
    options = ["fit", "--config=agedb-dir-vanilla", f"--data.root={root}", f"--output.root={tmp_path}", *SMALL, *QUICK]
    assert main([*options, "--data.num_workers=1"]) == 2  # errors of a loading process arrive wrapped in a traceback
    message, hint = capsys.readouterr().err.splitlines()[-2:]
    assert message.startswith(f"conr fit: {root / 'agedb.csv'}, row 2: expected a readable image at {file}: ")
    assert hint == "(CONR_TRACEBACK=1 shows where)"


def test_bad_rows_are_left_out_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_agedb(tmp_path / "data")
    next((root / "AgeDB").iterdir()).unlink()
    options = ["fit", "--config=agedb-dir-vanilla", f"--data.root={root}", f"--output.root={tmp_path}", *SMALL, *QUICK]
    assert main(options) == 2
    assert "expected an image at" in capsys.readouterr().err
    with pytest.warns(UserWarning, match=r"agedb\.csv: 1 of 70 rows left out"):
        assert main([*options, "--data.skip_bad=true"]) == 0


@pytest.mark.slow
def test_a_model_learns_ages_that_can_be_seen(tmp_path: Path, roots: dict[str, Path]) -> None:
    options = (
        "--trainer.max_epochs=90",
        "--data.batch_size=16",
        "--model.optimizer.lr=1e-2",
        "--data.check_images=true",
    )
    folder = _fit(tmp_path, "agedb-dir", "sqinv+conr", roots["agedb-dir"], *SMALL, *options)
    assert main(["test", f"--run={folder}", "--trainer.enable_progress_bar=false"]) == 0
    metrics = json.loads((folder / "result.json").read_text())["metrics"]["all"]
    assert metrics["mae"] < 7  # 10.7 for the median age of the training images
    assert metrics["spearman"] > 0.8
