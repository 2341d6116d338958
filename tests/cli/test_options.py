"""Options that do not parse: one line that says which, what was expected and what came."""

from pathlib import Path

import pytest

from conr.cli.main import main

TABLE = ("--config=table-vanilla", "--data.path=t.csv", "--data.target=price")


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,price\n" + "".join(f"{row},{row % 7}\n" for row in range(60)))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--trainer.max_epochs=2.5"], "--trainer.max_epochs: expected a whole number or null, got '2.5'"),
        (["--data.batch_size=x"], "--data.batch_size: expected a whole number or 'auto', got 'x'"),
        (["--data.batch_size=null"], "batch_size: expected a number, got NoneType"),
        (["--model.criterion_lr=fast"], "--model.criterion_lr: expected a number, got 'fast'"),
        (["--trainer.max_epoch=2"], "--trainer.max_epoch: expected an option of this command, got an unknown one"),
        (["--data.batchsize=2"], "--data.batchsize: expected an option of conr.data.Table, got an unknown one"),
        (["--nothing"], "--nothing: expected an option"),
        (["--data=conr.data.Tabel"], "--data: expected a class, got 'conr.data.Tabel': "),
        (["--data=nowhere.Data"], "--data: expected a class, got 'nowhere.Data': No module named 'nowhere'"),
        (["--model.encoder=nowhere.MLP"], "--model.encoder: expected a class, got 'nowhere.MLP'"),
        (["--model.regularizers={conr: {loss: {class_path: conr.ConRLos}}}"], "--model.regularizers"),
        (["--model.regularizers={conr: {loss: {class_path: conr.ConRLoss, init_args: {widow: 1}}}}"], "--model.regul"),
        (["--config=nowhere.yaml"], "--config: expected a file or the name of a preset, found no file nowhere.yaml"),
        (["--trainer.precision=8"], "--trainer.precision: expected "),
        (["--seed_everything=x"], "--seed_everything: expected "),
        (["--model=3"], "--model: "),
        (["--trainer.min_epochs=-3"], "trainer.min_epochs: expected a number of at least 0, got -3"),
        (["--trainer.max_steps=-2"], "trainer.max_steps: expected a number of at least -1, got -2"),
        (["--trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val: expected a number of at least 0, got -1"),
        (["--trainer.log_every_n_steps=-1"], "trainer.log_every_n_steps: expected a number of at least 0, got -1"),
        (["--trainer.num_sanity_val_steps=-5"], "trainer.num_sanity_val_steps: expected a number of at least -1, got"),
        (["--trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches: expected a number of at least 1"),
        (["--trainer.limit_train_batches=-1"], "trainer.limit_train_batches: expected a number of at least 0, got -1"),
        (["--trainer.limit_val_batches=1.5"], "trainer.limit_val_batches: expected a whole number of batches or a sh"),
        (["--trainer.val_check_interval=0"], "trainer.val_check_interval: expected a number above 0, got 0"),
        (["--data.bin_width=nan"], "--data.bin_width: expected a number or a list or null, got 'nan'"),
        (["--output.method=../../x"], "method: expected a name that a folder may have, got '../../x'"),
        (["--output.method="], "method: expected a name that a folder may have, got ''"),
    ],
)
def test_options_of_a_training(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *TABLE, *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"conr fit: {line}"), said
    assert said[1:] in ([], ["(CONR_TRACEBACK=1 shows where)"])
    assert len(said[0]) < 500
    assert not Path("runs").exists()


def test_a_metric_to_monitor_that_there_is_not_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    assert main(["fit", *TABLE, *options, "--output.monitor=val/nope"]) == 2
    assert "could not find the monitored key in the returned metrics" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["table", "fit", "t.csv", "--target", "price"], "(--skip_bad leaves such rows out)"),
        (["inspect", "t.csv", "--target", "price"], "(--skip_bad leaves such rows and columns out, --ignore names"),
        (["fit", *TABLE], "(--data.skip_bad true leaves such rows out)"),
        (["bench", "--datasets=table:t.csv:price", "--methods=vanilla"], "(--data.skip_bad true leaves such rows out)"),
        (["table", "fit", "n.csv", "--target", "-1"], "for a file without names set --header false"),
        (["fit", "--config=table-vanilla", "--data.path=n.csv", "--data.target=-1"], "set --data.header false"),
        (["table", "fit", "d.csv", "--target", "b"], "(set --decimal '.' for"),
    ],
)
def test_hints_name_options_as_they_are_typed(words: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("a,price\n" + "".join(f"{row},{row % 7 or 'x'}\n" for row in range(60)))
    Path("n.csv").write_text("".join(f"{row},{row % 7}\n" for row in range(60)))
    Path("d.csv").write_text("a;b\n" + "".join(f"{row + 1},234;{row % 7}\n" for row in range(60)))
    assert main(words) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["table", "fit", "t.csv", "--target", "price", "--seed", "x"], "--seed: expected a whole number, got 'x'"),
        (["table", "fit", "t.csv", "--target", "price", "--test-share", "x"], "--test_share: expected a number, got"),
        (["table", "fit", "t.csv"], "target: expected a value, got none"),
        (["table", "fit", "t.csv", "--target", "price", "--sed", "3"], "--sed: expected an option of this command"),
        (["table", "predict"], "model, file: expected a value, got none"),
        (
            ["table", "fit", "t.csv", "--target=price", "--model=conr", "--model.max_epochs", "x"],
            "max_epochs: expected ",
        ),
        (
            ["table", "fit", "t.csv", "--target=price", "--model.max_epoch=9"],
            "RareRegressor: expected one of its arguments, got 'max_epoch'",
        ),
        (["inspect", "t.csv", "--target", "price", "--header", "maybe"], "--header: expected true or false or null"),
        (["explain", "run", "--split", "tests"], "--split: expected one of"),
        (["report"], "runs: expected a value, got none"),
        (["report", "--uot", "x.html", "."], "--uot: expected an option of this command, got an unknown one"),
        (["demo", "--seeds", "1.5"], "--seeds: expected a whole number or null, got '1.5'"),
        (["bench", "--datasets", "table:t.csv:price", "--methods", "vanilla", "--jobs", "x"], "--jobs: expected a"),
        (["tune", "--dataset", "table:t.csv:price", "--trials", "x"], "--trials: expected a whole number, got 'x'"),
        (["data", "check", "table", "--path", "t.csv", "--target", "price", "--many", "x"], "--many: expected a whole"),
        (
            ["table", "fit", "t.csv", "--target", "price", "--ignore", "[a, price]"],
            "ignore: expected columns beside the target, got 'price', which is one",
        ),
        (
            ["inspect", "t.csv", "--target", "price", "--ignore", "-1"],
            "ignore: expected columns beside the target, got",
        ),
        (["fit", *TABLE, "--data.ignore=[price]"], "ignore: expected columns beside the target, got 'price', which is"),
        (["fit", *TABLE, "--data.categorical=[price]"], "categorical: expected columns beside the target, got 'price'"),
        (["fit", *TABLE, "--data.target=[price, price]"], "target: expected each column once, got 'price' twice"),
        (
            ["table", "fit", "gone.csv", "--target", "price", "--model.objective", "bma"],
            "objective: expected one of 'bmae', 'mae', 'few', got 'bma'",
        ),
        (["table", "fit", "gone.csv", "--target", "price", "--model.cv", "1"], "cv: expected a number of at least 3"),
        (
            ["bench", "--datasets=table:t.csv:price", "--methods=vanilla", "--trainer.min_epochs=-3"],
            "trainer.min_epochs: expected a number of at least 0, got -3",
        ),
    ],
)
def test_options_of_the_other_verbs(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"conr {words[0]}: {line}"), said
    assert said[1:] in ([], ["(CONR_TRACEBACK=1 shows where)"])
