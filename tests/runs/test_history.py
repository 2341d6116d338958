import math
import re
from pathlib import Path

import pytest

from conr.runs import read_history


def write_csv(run_dir: Path, version: int, text: str) -> Path:
    path = run_dir / "csv" / f"version_{version}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_history_keeps_the_last_value_of_an_epoch(tmp_path: Path) -> None:
    """Sparse rows as Lightning writes them; the learning rate is logged without an epoch, before the epoch's rows."""
    write_csv(
        tmp_path,
        0,
        "epoch,lr-Adam,step,train/loss,val/mae\n,0.1,0,,\n0,,4,3.0,\n0,,9,2.5,\n0,,9,,8.0\n,0.05,10,,\n1,,19,,nan\n,0.01,20,,\n",
    )
    history = read_history(tmp_path)
    assert list(history) == ["lr-Adam", "train/loss", "val/mae"]
    assert history["lr-Adam"] == [(0, 0.1), (1, 0.05)]
    assert history["train/loss"] == [(0, 2.5)]
    assert history["val/mae"][0] == (0, 8.0)
    assert history["val/mae"][1][0] == 1
    assert math.isnan(history["val/mae"][1][1])


def test_history_of_a_resumed_run(tmp_path: Path) -> None:
    """Version 10 comes after version 2; epoch 1 was trained in both."""
    write_csv(tmp_path, 2, "epoch,step,val/mae,old\n0,9,8.0,1\n1,19,7.0,1\n")
    write_csv(tmp_path, 10, "epoch,step,val/mae\n1,19,6.5\n2,29,6.0\n")
    history = read_history(tmp_path)
    assert history == {"old": [(0, 1.0), (1, 1.0)], "val/mae": [(0, 8.0), (1, 6.5), (2, 6.0)]}


def test_history_without_an_end_or_a_start(tmp_path: Path) -> None:
    assert read_history(tmp_path) == {}
    write_csv(tmp_path, 0, "epoch,step,val/mae\n0,9,8.0\n1,19,7.1234e-")
    assert read_history(tmp_path) == {"val/mae": [(0, 8.0)]}


def test_history_with_a_cell_that_is_no_number(tmp_path: Path) -> None:
    path = write_csv(tmp_path, 0, "epoch,step,val/mae\n0,9,8.0\n1,19,broken\n")
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 3, column val/mae: expected a number, got 'broken'")):
        read_history(tmp_path)
