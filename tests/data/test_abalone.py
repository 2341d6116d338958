from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.data.held import held_inputs

from conr.data import Abalone, Splits

if TYPE_CHECKING:
    import pandas as pd

sklego_datasets = pytest.importorskip("sklego.datasets", reason="the table comes with scikit-lego")

MEASURES = ["length", "diameter", "height", "whole_weight", "shucked_weight", "viscera_weight", "shell_weight"]


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Abalone().splits


@pytest.fixture(scope="module")
def table() -> "pd.DataFrame":
    frame: pd.DataFrame = sklego_datasets.load_abalone(as_frame=True)
    return frame


def _rows(splits: Splits, split: str) -> list[int]:
    return [int(name.removeprefix("row-")) for name in getattr(splits, split).ids]


def test_every_row_is_in_exactly_one_split(splits: Splits) -> None:
    rows = _rows(splits, "train") + _rows(splits, "val") + _rows(splits, "test")
    assert sorted(rows) == list(range(4177))


def test_of_each_label_a_third_but_at_most_20_goes_to_val_and_to_test(splits: Splits, table: "pd.DataFrame") -> None:
    total = Counter(float(rings) for rings in table["rings"])
    counts = {split: Counter(getattr(splits, split).labels.tolist()) for split in ("train", "val", "test")}
    for rings, count in total.items():
        held_out = min(count // 3, 20)
        found = [counts[split][rings] for split in ("train", "val", "test")]
        assert found == [count - 2 * held_out, held_out, held_out], rings
    assert counts["train"][9.0] == 689 - 40  # the commonest number of rings, counted by hand in the table
    assert (counts["train"][23.0], counts["val"][23.0], counts["test"][23.0]) == (3, 3, 3)
    assert (counts["train"][29.0], counts["val"][29.0]) == (1, 0)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_rows_are_those_of_the_table(splits: Splits, table: "pd.DataFrame", split: str) -> None:
    dataset = getattr(splits, split)
    rows = table.iloc[_rows(splits, split)]
    train = table.iloc[_rows(splits, "train")][MEASURES].to_numpy(np.float64)
    measures = (rows[MEASURES].to_numpy(np.float64) - train.mean(axis=0)) / train.std(axis=0)
    sexes = np.array([[sex == "F", sex == "I", sex == "M"] for sex in rows["sex"]])
    assert held_inputs(dataset).dtype is dataset.labels.dtype is torch.float32
    np.testing.assert_array_equal(dataset.labels, rows["rings"])
    np.testing.assert_allclose(held_inputs(dataset), np.concatenate((sexes, measures), axis=1), atol=2e-5)


def test_only_the_training_split_sets_the_scale(splits: Splits) -> None:
    measures = held_inputs(splits.train)[:, 3:]
    torch.testing.assert_close(measures.mean(dim=0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(measures.std(dim=0, correction=0), torch.ones(7), atol=1e-4, rtol=0)
    assert (held_inputs(splits.test)[:, 3:].mean(dim=0).abs() > 1e-2).all()


def test_one_bin_per_number_of_rings_and_all_regions(splits: Splits) -> None:
    assert splits.bins.index(torch.tensor([1.0, 2.0, 29.0])).tolist() == [0, 1, 28]
    assert len(splits.bins) == 29
    assert set(Abalone().shot_density().regions(splits.test.labels).tolist()) == {0, 1, 2}


def test_the_seed_of_the_data_alone_decides(splits: Splits) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    again = Abalone().splits
    assert torch.equal(torch.get_rng_state(), before)
    assert again.test.ids == splits.test.ids
    assert torch.equal(held_inputs(again.train), held_inputs(splits.train))
    assert Abalone(data_seed=1).splits.test.ids != splits.test.ids


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.data.Abalone needs sklego, pandas, .* pip install 'conr\[data\]'"):
        Abalone().load()
