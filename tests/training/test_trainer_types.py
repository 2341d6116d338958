"""Whole numbers of batches stay whole."""

import inspect
import typing
from pathlib import Path

import pytest
from lightning import Trainer
from tests.training.test_command import fit

from conr.runs.folder import read_config


@pytest.mark.parametrize(("typed", "read"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5), ("2", 2)])
def test_one_batch_is_not_all_of_them_even_if_typing_has_the_equal_type_of_another_order(
    typed: str, read: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    types = inspect.unwrap(Trainer.__init__).__annotations__
    monkeypatch.setitem(types, "limit_train_batches", typing.Union[float, int, None])  # noqa: UP007  keeps its order
    run = fit(tmp_path, "--trainer.max_epochs=1", f"--trainer.limit_train_batches={typed}")
    found = read_config(run)["trainer"]["limit_train_batches"]
    assert found == read
    assert type(found) is type(read)
