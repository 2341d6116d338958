"""Datasets without a framework: inputs with labels, three splits of them, and a card that says where they are from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.utils.data import Dataset

from conr.density import Bins
from conr.density.splits import Positions

Inputs = Tensor | dict[str, Tensor]
"""Inputs of a sample, or of a batch: a tensor, or several by name (an eye's image and the head's pose)."""


class RegressionDataset(Dataset[tuple[Inputs, Tensor]], ABC):
    """One split: item ``i`` is ``(input, label)``; all labels are known without reading the inputs.

    Attributes:
        labels: shape (n,) or (n, k). A dataset with dense labels (k, h, w) does not hold them and has no such
            attribute; NaN marks a pixel without a label.
        ids: one name per sample, as it appears in a predictions file.
        contents: a number for each sample, shape (n,), that copies of one picture share, in all splits; None if nobody
            has looked for copies.
    """

    labels: Tensor
    ids: list[str]
    contents: Positions | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Inputs, Tensor]: ...


class ArrayDataset(RegressionDataset):
    """Inputs and labels held in memory; item ``i`` is ``(input, label)``.

    Args:
        inputs: shape (n, ...), finite.
        labels: shape (n,) or (n, k), finite.
        ids: one name per sample, as it appears in a predictions file; the position by default.

    Raises:
        ValueError: no samples, lengths differ, or an input or label is NaN or infinite (the message names the sample).
    """

    def __init__(self, inputs: Tensor, labels: Tensor, ids: Sequence[str] | None = None) -> None:
        self.inputs = inputs
        self.labels = labels
        self.ids = [str(i) for i in range(len(labels))] if ids is None else list(ids)
        if not len(inputs) == len(labels) == len(self.ids):
            raise ValueError(
                f"inputs: expected as many as labels and ids, got {len(inputs)}, {len(labels)} and {len(self.ids)}"
            )
        if len(labels) == 0:
            raise ValueError("inputs: expected at least one sample, got none")
        _check_finite("inputs", inputs, self.ids)
        _check_finite("labels", labels, self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.labels[index]


@dataclass(frozen=True)
class Splits:
    """The three parts of a dataset and the bins over which label rarity is measured."""

    train: RegressionDataset
    val: RegressionDataset
    test: RegressionDataset
    bins: Bins


@dataclass(frozen=True)
class DatasetCard:
    """Source, licence and files of a dataset."""

    summary: str  # one sentence: inputs, label, what is rare
    source: str  # where the files are to be had, and the paper
    licence: str  # of the files, in a few words
    layout: dict[str, str] = field(default_factory=dict)  # paths below ``root`` that are read, each with what it is
    # published number of samples per split, where there is one; a deviation is reported by a check
    counts: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # deviations from the published protocol, one sentence each


def _check_finite(name: str, values: Tensor, ids: Sequence[str]) -> None:
    rows = values.unsqueeze(1).flatten(1)  # (n, entries)
    bad = ~rows.isfinite()  # (n, entries)
    if bad.any():
        sample, entry = bad.nonzero()[0].tolist()
        raise ValueError(f"{name}: expected finite numbers, got {rows[sample, entry].item()} in sample {ids[sample]!r}")
