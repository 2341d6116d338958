from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

import conr
from conr.runs.environment import environment


def test_a_run_says_with_what_it_was_made() -> None:
    made = environment("cuda:1", "scikit-learn")
    assert made["versions"]["conr"] == conr.__version__
    assert made["versions"]["scikit-learn"] == version("scikit-learn")
    assert list(made["versions"]) == ["conr", "scikit-learn", "torch", "numpy", "python"]
    assert made["hardware"]["device"] == "cuda:1"
    assert made["hardware"]["threads"] == torch.get_num_threads()
    assert 0 <= (datetime.now(UTC) - datetime.fromisoformat(made["created"])).total_seconds() < 60


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(PackageNotFoundError, match="no-such-package"):
        environment("cpu", "no-such-package")
