"""The abalone table: predict the rings of a shell, while old animals are rare."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_number
from conr._extras import require
from conr.data.dataset import ArrayDataset, DatasetCard, Splits
from conr.data.module import RegressionData
from conr.data.protocols import Protocol
from conr.density import Bins
from conr.density.splits import Positions, balanced_split


class Abalone(RegressionData):
    """The abalone table of scikit-lego: sex (one of three) and seven measures; the label is the number of rings.

    Validation and test are balanced: of each number of rings a third of the animals, at most 20, goes to each. Sex
    becomes three columns, the measures are standardised by the training split. Inputs have shape (10,).

    Args:
        data_seed: seed of the split.
    """

    name = "abalone"
    label_name = "rings"
    card = DatasetCard(
        summary="4,177 sea snails: sex and seven measures in, the number of rings (age) out; old animals are rare.",
        source="comes with scikit-lego; Nash et al. 1994, UCI Machine Learning Repository, data set 1",
        licence="CC BY 4.0",
        notes=("The table has no split; this one is the library's own.",),
    )

    def __init__(self, *, data_seed: int = 0, batch_size: int = 64, num_workers: int = 0) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("data_seed", data_seed, low=0)
        self.data_seed = data_seed

    def load(self) -> Splits:
        """Read and split the table; ImportError if scikit-lego or pandas is not installed."""
        return self._load(lambda labels, bins: balanced_split(labels, bins, most=20, seed=self.data_seed))

    def load_with(self, protocol: Protocol) -> Splits:
        """Read the table and split it by a protocol, whose training split sets the scale; raises as `Protocol.rows`."""
        return self._load(protocol.rows)

    def _load(self, split_rows: Callable[[Tensor, Bins], dict[str, Positions]]) -> Splits:
        require("conr.data.Abalone", "sklego", "pandas")
        import pandas as pd  # noqa: PLC0415  optional
        from sklego.datasets import load_abalone  # noqa: PLC0415  optional

        table = load_abalone(as_frame=True)
        labels = torch.from_numpy(table["rings"].to_numpy(np.float32))
        sexes = pd.get_dummies(table["sex"]).to_numpy(np.float32)  # (n, 3)
        measures = table.drop(columns=["rings", "sex"]).to_numpy(np.float32)  # (n, 7)
        # One bin per number of rings.
        bins = Bins.by_width(width=1, low=float(labels.min()), high=float(labels.max()) + 1)
        parts = split_rows(labels, bins)
        train = measures[parts["train"]]
        measures = (measures - train.mean(axis=0)) / train.std(axis=0)
        inputs = torch.from_numpy(np.concatenate((sexes, measures), axis=1))
        datasets = {
            split: ArrayDataset(inputs[rows], labels[rows], [f"row-{row:04d}" for row in rows])
            for split, rows in parts.items()
        }
        return Splits(**datasets, bins=bins)
