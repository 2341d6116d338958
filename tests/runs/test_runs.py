"""Runs in folders and in files of runs."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runs.test_results import example, outputs

from conr.report import load_runs
from conr.runs import read_runs, write_runs

CONFIG = "seed_everything: {seed}\nmodel:\n  depth: {depth}\n  window: .inf\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two methods with two seeds; the second seed of conr has another depth, and vanilla no configuration."""
    for method in ("vanilla", "conr"):
        for seed in range(2):
            folder = tmp_path / "runs" / "rotated-digits" / method / f"seed-{seed}"
            folder.mkdir(parents=True)
            example(method=method, seed=seed, peak_memory=seed or None).write(folder)
            outputs().write(folder)
            if method == "conr":
                (folder / "config.yaml").write_text(CONFIG.format(seed=seed, depth=2 + seed))
    (tmp_path / "runs" / "unfinished").mkdir()
    return tmp_path / "runs"


def names(paths: list[Path], root: Path) -> list[str]:
    return [run.folder.relative_to(root).as_posix() for run in read_runs(paths)]


def test_runs_below_folders_each_once(root: Path) -> None:
    everything = [f"rotated-digits/{method}/seed-{seed}" for method in ("conr", "vanilla") for seed in range(2)]
    assert names([root], root) == everything
    seed = root / "rotated-digits" / "conr" / "seed-1"
    assert names([seed / "result.json", seed.parent, seed], root) == everything[:2]


def test_a_file_of_runs_is_read_as_its_folder(root: Path, tmp_path: Path) -> None:
    path = write_runs(tmp_path / "kept" / "digits.runs.jsonl", read_runs([root]))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["schema"].split("/")[0] for line in lines] == [
        "conr.config", "conr.result", "conr.config", "conr.result", "conr.result", "conr.result",
    ]  # fmt: skip
    assert lines[0]["config"] == {"model": {"depth": 2, "window": ".inf"}}
    for folder in (path, path.parent):
        for ours, theirs in zip(read_runs([folder]), read_runs([root]), strict=True):
            assert repr(ours.result) == repr(theirs.result)  # NaN is not equal to itself
            assert ours.folder.parts[-2:] == theirs.folder.parts[-2:]
            assert (ours.outputs, ours.history) == (None, {})
            assert (ours.config is None) == (theirs.config is None)
            assert ours.config is None or ours.config["seed_everything"] == ours.result.seed
    assert names([path / "vanilla", path / "conr"], path) == names([path], path)
    assert names([path / "vanilla"], path) == ["vanilla/seed-0", "vanilla/seed-1"]
    (group,) = load_runs([path])
    assert list(group.methods) == ["vanilla", "conr"]
    # What was read from a file can be written again.
    assert write_runs(tmp_path / "again.runs.jsonl", read_runs([path])).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0], lines[1][:-20]], "line 2: expected a complete JSON file"),
        (lambda lines: ["[1]", *lines], "line 1: expected names with values, got [1]"),
        (
            lambda lines: [lines[0].replace("conr.config/1", "conr.config/2")],
            "line 1: schema: expected 'conr.res",
        ),
        (lambda lines: [lines[1].replace('"seed-0"', "3")], "line 1: run: expected a text, got 3"),
        (
            lambda lines: [lines[1].replace('"epochs":30', '"epochs":NaN')],
            "line 1: epochs: expected a whole",
        ),
        (lambda lines: [lines[0].replace('"config":{', '"config":3,"a":{')], "line 1: config: expected names with"),
    ],
)
def test_a_damaged_line_is_named(change: Callable[[list[str]], list[str]], message: str, root: Path) -> None:
    path = write_runs(root / "digits.runs.jsonl", read_runs([root]))
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(ValueError, match=re.escape(f"{path}, {message}")):
        read_runs([path])


def test_runs_that_are_not_there(tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty.runs.jsonl").touch()
    for paths in ([root / "unfinished"], [], [tmp_path / "empty.runs.jsonl"]):
        with pytest.raises(FileNotFoundError, match=r"expected at least one result.json.*, found none in "):
            read_runs(paths)
    with pytest.raises(FileNotFoundError, match=re.escape(f"found nothing at {tmp_path / 'typo'}")):
        read_runs([tmp_path / "typo"])
    with pytest.raises(ValueError, match=r"expected runs of one dataset, got none"):
        write_runs(tmp_path / "a.runs.jsonl", [])


def test_reading_runs_loads_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from conr.runs import *; read_runs([Path(sys.argv[1])]); "
        "print({'torch', 'lightning', 'torchmetrics', 'matplotlib', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
