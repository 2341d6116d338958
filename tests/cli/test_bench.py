import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.data.miniature.sts_b import write_sts_b

from conr.cli.main import main
from conr.runs.results import RunResult

QUICK = [
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.limit_val_batches=1",
    "--trainer.accelerator=cpu",
]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "houses.csv"
    path.write_text("\n".join(["area,price", *(f"{row % 40 + row / 100},{row % 40}" for row in range(240))]))
    return path


def test_a_grid_prints_its_table_writes_its_report_and_records_what_failed(
    houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "out", write_sts_b(tmp_path / "data")
    words = ["bench", "--datasets", f"table:{houses}:price", "sts-b-dir", "--methods", "vanilla", "lds+conr"]
    words += ["--seeds=1", "--jobs=1", "--out", str(out), *QUICK, "--data.batch_size", "16"]
    words += ["--data.sts-b-dir.root", str(data), "--data.table-houses.bin_width=1", "--data.sts-b-dir.cache=nowhere"]
    (data / "test_new.tsv").unlink()  # what is wrong with a dataset's files is not known before they are read
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "4 runs: 2 datasets, 2 methods, 1 seed each" in printed
    assert "8/8 epochs" not in printed  # a bar per dataset
    assert "4/4 epochs" in printed
    assert "table-houses" in printed
    assert "2 of 4 runs failed" in printed
    broken = out / "sts-b-dir" / "lds+conr" / "seed-0"
    assert f"why: {broken / 'failure.json'}" in printed
    failure = json.loads((broken / "failure.json").read_text())
    assert "found no file" in failure["error"]
    assert "Traceback" in failure["traceback"]
    assert yaml.safe_load((broken / "config.yaml").read_text())["data"]["init_args"]["root"] == str(data)
    folder = out / "table-houses" / "lds+conr" / "seed-0"
    assert (RunResult.read(folder).dataset, RunResult.read(folder).method) == ("table-houses", "lds+conr")
    arguments = yaml.safe_load((folder / "config.yaml").read_text())["data"]["init_args"]
    assert (arguments["batch_size"], arguments["bin_width"]) == (16, 1)
    assert "table-houses" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--datasets", "abelone", "--methods", "vanilla"], "did you mean 'abalone'"),
        (["--datasets", "abalone", "--methods", "ranksin+conr"], "did you mean 'ranksim'"),
        (["--datasets", "abalone", "--methods", "vanilla", "bmc+mse"], "'bmc' and 'mse' contradict each other"),
        (["--datasets", "sts-b-dir", "--methods", "vanilla"], "expected --data.sts-b-dir.root"),
        (["--datasets", "table:no.csv:price", "--methods", "vanilla"], "found no file no.csv"),
        (["--datasets", "table:HOUSES:prize", "--methods", "vanilla"], "did you mean 'price'"),
        (
            ["--datasets", "abalone", "--methods", "vanilla", "--baseline", "conr"],
            "baseline: expected one of 'vanilla'",
        ),
        (["--datasets", "abalone", "--methods", "vanilla", "--seeds", "0"], "seeds: expected a number of at least 1"),
        (["--datasets", "abalone", "--methods", "vanilla", "--trainer.max_epochs"], "--trainer.max_epochs: expected"),
    ],
)
def test_what_cannot_run_is_said_before_anything_runs(
    options: list[str], message: str, houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [word.replace("HOUSES", str(houses)) for word in options]
    assert main(["bench", f"--out={tmp_path / 'out'}", *typed]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_setting_that_no_run_has_is_said_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--datasets", "abalone", "--methods", "vanilla", f"--out={tmp_path / 'out'}"]
    assert main([*words, "--trainer.max_epoch=2"]) == 2
    assert "--trainer.max_epoch: expected an option of this command, got an unknown one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_grid_that_is_killed_goes_on_with_the_same_command(tmp_path: Path) -> None:
    """A real process with two workers, killed in the middle: its workers end, and what was finished is kept."""
    out = tmp_path / "out"
    words = ["bench", "--datasets", "abalone", "--methods", "vanilla", "sqinv", "--seeds=1", "--jobs=2", f"--out={out}"]
    slow = ["--trainer.callbacks=tests.training.slow.SlowEpochs", *QUICK[1:], "--trainer.max_epochs=6"]
    command = [sys.executable, "-m", "conr.cli.main", *words, *slow]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: any(out.rglob("last.ckpt")))
        workers = children(process.pid)
        assert workers
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(is_alive(worker) for worker in workers))
    assert list(out.rglob("result.json")) == []
    begun = {path: path.stat().st_mtime_ns for path in out.rglob("config.yaml")}
    assert main([*words, *slow]) == 0
    folders = [out / "abalone" / method / "seed-0" for method in ("vanilla", "sqinv")]
    assert [RunResult.read(folder).epochs for folder in folders] == [6, 6]
    assert all(path.stat().st_mtime_ns == before for path, before in begun.items())
    assert any((folder / "csv" / "version_1").is_dir() for folder in folders)  # went on, did not start again
    assert sorted(path.name for path in out.glob("*/*/*")) == ["seed-0", "seed-0"]


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
