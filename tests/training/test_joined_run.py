"""Two processes that share each batch train as one process does with all of it."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from tests.training.joined_run import trained


def in_two_processes() -> dict[str, Any]:
    """Numbers that a training logged whose processes have half of each batch."""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.training.joined_run"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    result: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return result


def test_two_processes_train_as_one() -> None:
    one, two = trained(1), in_two_processes()
    for before, after in zip(one["epochs"], two["epochs"], strict=True):
        assert after == pytest.approx(before, rel=1e-9, nan_ok=True)
    assert one["epochs"][-1]["train/loss"] < 0.9 * one["epochs"][0]["train/loss"]
    assert one["epochs"][0]["train/conr"] > 0
    assert two["sums"] == pytest.approx(one["sums"], rel=1e-9)
