"""The command ``conr explain`` as typed, on small runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conr.cli.main import main
from conr.density import REGIONS
from conr.rare import GivenPredictions, RareIntervals
from conr.report.explanation import Embedded, as_image, explain_run, label_gaps
from conr.training.loading import load_run, split_predictions

QUICK = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=4",
    "--trainer.log_every_n_steps=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    rows = [f"{a:.4f},{'<b>' if a > 1 else 'x'},{a + b:.4f}" for a, b in random.exponential(size=(400, 2))]
    (root / "fish.csv").write_text("\n".join(["size,<kind>,weight", *rows]))
    table = ["--data.path", f"{root}/fish.csv", "--data.target", "weight", "--model.collapse_window", "0.5"]
    for words in (["table-conr", *table], ["table-vanilla", *table]):
        assert main(["fit", "--config", *words, f"--output.root={root}", *QUICK]) == 0
    return root


def test_a_table_is_explained_beside_another_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "table-fish/conr/seed-0"
    assert main(["explain", str(run), "--beside", f"{runs}/table-fish/vanilla/seed-0"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("untrained", "trained", "vanilla"))
    assert f"explanation: {run / 'explanation.html'}" in printed
    page = (run / "explanation.html").read_text()
    titles = [
        "What it answers",
        "Features: untrained",
        "Features: trained",
        "Features: vanilla",
        "Collapse over training",
    ]
    assert all(title in page for title in [*titles, "Neighbours of rare samples", "Worst errors"])
    assert "Not drawn" not in page
    assert "&lt;kind&gt;" in page
    assert "<kind>" not in page
    numbers = json.loads(re.search(r'id="numbers">(.*)</script>', page)[1])  # type: ignore[index]
    assert len(numbers["worst"]) == 12
    errors = [abs(one["label"][0] - one["prediction"][0]) for one in numbers["worst"]]
    assert errors == sorted(errors, reverse=True)
    assert numbers["collapse"]["collapse"][0][0] == 0
    assert not re.search(r'(src|href)="http', page)


def test_numbers_are_those_of_the_tested_run(runs: Path) -> None:
    """The errors agree with those that conr test writes."""
    from conr.runs.outputs import Outputs  # noqa: PLC0415

    run = runs / "table-fish/conr/seed-0"
    found = explain_run(run)
    assert main(["test", "--run", str(run), "--trainer.enable_progress_bar=false"]) == 0
    outputs = Outputs.read(run)
    assert found.trained.predictions[:, 0] == pytest.approx(outputs.predictions, abs=1e-4)
    tested = split_predictions(run, split="test")
    assert tested.predictions == pytest.approx(outputs.predictions, abs=1e-4)
    assert tested.labels == pytest.approx(outputs.labels)
    known = split_predictions(run)
    bounded = RareIntervals(GivenPredictions(), 0.5, cv="prefit").fit(*known)
    assert bounded.predict_interval(tested.predictions).shape == (len(outputs.labels), 2)
    with pytest.raises(ValueError, match="split: expected one of 'val', 'test', got 'train'"):
        split_predictions(run, split="train")
    worst = int(np.argmax(np.abs(outputs.predictions - outputs.labels)))
    assert found.worst[0].name == outputs.ids[worst]
    assert float(found.worst[0].values["weight"]) == pytest.approx(float(outputs.labels[worst]))
    assert {REGIONS[region] for region in found.regions} >= {"few"}
    assert [one.sample.region for one in found.rare] == ["few"] * 3
    for one in found.rare:
        assert len(one.neighbours) == 6
        cosines = [other.similarity for other in one.neighbours]
        assert cosines == sorted(cosines, reverse=True, key=lambda value: value or 0)


@pytest.mark.slow
def test_images_are_shown(tmp_path: Path) -> None:
    assert main(["fit", "--config", "rotated-digits-conr", f"--output.root={tmp_path}", *QUICK]) == 0
    run = tmp_path / "rotated-digits/conr/seed-0"
    out = tmp_path / "pages" / "digits.html"
    assert main(["explain", str(run), "--split=val", "--most=60", f"--out={out}"]) == 0
    page = out.read_text()
    assert page.count('<img src="data:image/png;base64,') == 3 * 7 + 12
    assert "60 samples of the val split" in page


def test_an_untrained_network_is_that_of_the_seed(runs: Path) -> None:
    run = runs / "table-fish/conr/seed-0"
    first, second = (load_run(run, trained=False).module.state_dict() for _ in range(2))
    trained = load_run(run).module.state_dict()
    weights = [name for name in first if name.startswith("encoder.backbone.") and name.endswith("weight")]
    assert all(torch.equal(first[name], second[name]) for name in weights)
    assert not any(torch.equal(first[name], trained[name]) for name in weights)


def test_what_cannot_be_explained_is_told(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "table-fish/conr/seed-0"
    other = tmp_path / "other"
    shutil.copytree(run, other)
    shutil.copy(runs / "fish.csv", runs / "whales.csv")
    config = (other / "config.yaml").read_text().replace("fish.csv", "whales.csv")
    (other / "config.yaml").write_text(config)
    for words, message in (
        ([str(tmp_path / "nowhere")], "expected the folder of a run, found no folder"),
        ([str(tmp_path)], "expected a run's config.yaml"),
        ([str(run), "--beside", str(other)], "beside: expected a run on table-fish, got one on table-whales"),
        ([str(run), "--most", "0"], "most: expected a number of at least 1"),
    ):
        assert main(["explain", *words]) == 2
        assert message in capsys.readouterr().err
    copy = tmp_path / "copy"
    (copy / "checkpoints").mkdir(parents=True)
    (copy / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    (copy / "checkpoints/best.ckpt").write_bytes((run / "checkpoints/best.ckpt").read_bytes()[:2000])
    assert main(["explain", str(copy)]) == 2
    assert "best.ckpt: expected a checkpoint of tensors and plain values, got a broken one" in capsys.readouterr().err


def test_gaps_by_hand() -> None:
    """Two clusters: the neighbours of the first have its label, those of the second the label of others."""

    def embedded(features: Any, labels: Any) -> Embedded:
        column = np.array(labels, dtype=float)[:, None]
        return Embedded(np.arange(len(labels)), np.array(features, dtype=np.float32), column, column)

    train = embedded([[1, 0]] * 10 + [[0, 1]] * 10, [1] * 10 + [2] * 10)
    samples = embedded([[2, 0], [0, 3]], [1, 9])
    found = label_gaps(samples, train, np.array([0, 2]))
    assert found == {"all": 3.5, "many": 0.0, "median": None, "few": 7.0}


def test_what_is_an_image() -> None:
    image = as_image(torch.tensor([[[0.0, 2.0], [1.0, 4.0]]]))
    assert image is not None
    assert image.tolist() == [[0.0, 0.5], [0.25, 1.0]]
    coloured = as_image({"pose": torch.zeros(2), "image": torch.rand(3, 5, 4)})
    assert coloured is not None
    assert coloured.shape == (5, 4, 3)
    assert as_image(torch.zeros(7)) is None


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "--help"])
    assert "\n  conr explain runs/rotated-digits/conr/seed-0\n" in capsys.readouterr().out
