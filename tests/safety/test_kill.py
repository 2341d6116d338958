"""kill -9 at random moments: nothing that was finished is lost, and the same command goes on to the same end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch
import yaml
from tests.training.test_command import TOY

from conr.cli.main import main
from conr.runs.atomic import write_whole
from conr.runs.folder import BEST_CHECKPOINT, CONFIG, LAST_CHECKPOINT
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")

EPOCHS = 6
SLOW = [f"--trainer.max_epochs={EPOCHS}", "--trainer.callbacks=tests.training.slow.SlowEpochs"]
QUICK = [f"--trainer.{name}=2" for name in ("limit_train_batches", "limit_val_batches", "log_every_n_steps")]
QUICK.append("--trainer.accelerator=cpu")
LONGEST = 240.0


def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    """A process that replaces a file again and again is killed at twelve moments."""
    path = tmp_path / "result.bin"
    chance = np.random.default_rng(0)
    for _ in range(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the child runs nothing that a thread of this process could hold up
            child = os.fork()
        if child == 0:
            for number in range(10**6):
                write_whole(path, partial(fill, number % 256))
            os._exit(0)
        wait_for(path.exists, "the first file", pause=0.001)
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1
    left = [file for file in tmp_path.iterdir() if file != path]
    assert all(file.name.startswith(".result.bin.") for file in left), "what is left over is hidden, and never read"


@pytest.mark.slow
def test_fit_that_is_killed_five_times_ends_as_if_it_had_not(tmp_path: Path) -> None:
    words = ["fit", *TOY, f"--trainer.max_epochs={EPOCHS}"]
    assert main([*words, f"--output.root={tmp_path / 'whole'}"]) == 0
    folder = tmp_path / "killed" / "toy" / "custom" / "seed-0"
    last, chance = folder / LAST_CHECKPOINT, np.random.default_rng(1)
    kill_when(["fit", *TOY, *SLOW, f"--output.root={tmp_path / 'killed'}"], (folder / CONFIG).exists, chance, 0.3)
    for _ in range(4):
        before = changed_at(last)
        kill_when(["fit", "--resume", str(folder)], partial(has_changed, last, before), chance, 0.4)
        if last.exists():
            assert torch.load(last, weights_only=True)["epoch"] < EPOCHS
        assert "output" in yaml.safe_load((folder / CONFIG).read_text())
    assert main(["fit", "--resume", str(folder)]) == 0
    same_weights(tmp_path / "whole" / "toy" / "custom" / "seed-0", folder)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_grid_that_is_killed_with_its_workers_goes_on(jobs: int, tmp_path: Path) -> None:
    words = ["bench", "--datasets", "abalone", "--methods", "vanilla", "conr", "hgb", "--seeds=1"]
    words += [f"--jobs={jobs}", *QUICK, *SLOW]
    assert main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    root, chance = tmp_path / "killed", np.random.default_rng(2 + jobs)
    finished: dict[Path, bytes] = {}
    for _ in range(4):
        seen = state(root)
        kill_when([*words, f"--out={root}"], partial(has_moved, root, seen), chance, 0.6)
        for path, content in finished.items():
            assert path.read_bytes() == content, "a finished result was touched"
        for path in root.rglob("result.json"):
            RunResult.read(path.parent)
            Outputs.read(path.parent)
            finished[path] = path.read_bytes()
    assert main([*words, f"--out={root}"]) == 0
    assert all(path.read_bytes() == content for path, content in finished.items())
    for path in (tmp_path / "whole").rglob("result.json"):
        other = root / path.relative_to(tmp_path / "whole")
        ours, theirs = (RunResult.read(one.parent).metrics for one in (path, other))
        assert ours.keys() == theirs.keys()
        for region, values in ours.items():
            assert values == pytest.approx(theirs[region], nan_ok=True)
        if (path.parent / BEST_CHECKPOINT).exists():
            same_weights(path.parent, other.parent)
    assert (root / "report.html").is_file()


@pytest.mark.slow
def test_table_fit_that_is_killed_leaves_a_whole_model_or_none(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    file = tmp_path / "houses.csv"
    file.write_text("\n".join(["area,price", *(f"{row % 40 + row / 100},{row % 40}" for row in range(240))]))
    quick = ["--model.max_epochs=30", "--model.members=2", "--model.width=16", "--model.device=cpu"]
    words = ["table", "fit", str(file), "--target=price", *quick]
    assert main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    folder, files = tmp_path / "models" / "houses", sorted(path.name for path in (tmp_path / "whole").iterdir())
    for attempt in range(6):
        begun = [*folder.parent.glob(".houses.*")] if folder.parent.exists() else []

        def has_begun(begun: list[Path] = begun) -> bool:
            return folder.exists() or len([*folder.parent.glob(".houses.*")]) > len(begun)

        wanted = has_begun if attempt % 2 else lambda: True
        kill_when([*words, f"--out={folder}"], wanted, chance, 0.3 if attempt % 2 else 8.0)
        if folder.exists():
            assert sorted(path.name for path in folder.iterdir()) == files
            break
    if not folder.exists():
        assert main([*words, f"--out={folder}"]) == 0
    for name in ("weights.safetensors", "outputs.npz", "table.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_search_that_is_killed_finds_the_same(tmp_path: Path) -> None:
    words = [
        "tune",
        "--dataset",
        "abalone",
        "--trials=3",
        "--space",
        "window=1..4",
        "weights=none,sqinv",
        *QUICK,
        *SLOW,
    ]
    assert main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    root, chance = tmp_path / "killed", np.random.default_rng(7)
    for _ in range(4):
        seen = state(root)
        kill_when([*words, f"--out={root}"], partial(has_moved, root, seen), chance, 1.0)
    assert main([*words, f"--out={root}"]) == 0
    whole, killed = (found(one) for one in (tmp_path / "whole", root))
    assert whole == killed


def found(root: Path) -> list[dict[str, Any]]:
    (path,) = root.rglob("tuning.json")
    trials: list[dict[str, Any]] = json.loads(path.read_text())["trials"]
    return trials


def same_weights(one: Path, other: Path) -> None:
    for name in (LAST_CHECKPOINT, BEST_CHECKPOINT):
        ours, theirs = (torch.load(folder / name, weights_only=True) for folder in (one, other))
        assert ours["epoch"] == theirs["epoch"]
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())


def kill_when(words: list[str], ready: Callable[[], bool], chance: np.random.Generator, longest: float) -> None:
    """Start a command, and kill it and all that it started a random while after something has happened."""
    command = [sys.executable, "-m", "conr.cli.main", *words]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            wait_for(lambda: ready() or process.poll() is not None, shown(words))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, longest))
            assert process.poll() in (None, 0), process.stderr.read() if process.stderr else ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def shown(words: list[str]) -> str:
    return " ".join(words)[:60]


def wait_for(condition: Callable[[], bool], what: str, pause: float = 0.02) -> None:
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(pause)


def fill(byte: int, file: BinaryIO) -> int:
    return file.write(bytes([byte]) * 200_000)


def has_changed(path: Path, before: int) -> bool:
    return changed_at(path) != before


def has_moved(root: Path, seen: list[tuple[Path, int]]) -> bool:
    return state(root) != seen


def changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def state(root: Path) -> list[tuple[Path, int]]:
    """Files that mark progress, with the time of their last change."""
    marks = ("config.yaml", "last.ckpt", "result.json", "report.html", "tuning.json")
    return sorted((path, changed_at(path)) for path in root.rglob("*") if path.name in marks)
