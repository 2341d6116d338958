"""Base of all datasets: splits on demand, their loaders for Lightning, their density and metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torchmetrics import MetricCollection

from conr._checks import check_number
from conr.data.dataset import DatasetCard, Inputs, RegressionDataset, Splits
from conr.data.protocols import Protocol
from conr.data.sampling import EpochSampler, sampling_weights
from conr.density import REGIONS, LabelDensity, SampleWeights
from conr.density.splits import SPLITS
from conr.metrics import shot_metrics


class RegressionData(LightningDataModule, ABC):
    """Base of all datasets: a subclass has a name and loads its splits.

    Class attributes of a subclass: ``name`` (as in presets and results), ``label_name`` and ``label_unit`` (for
    tables and pictures; the unit may be empty), ``label_dimensions`` (what each is called, where there are several),
    ``headline`` (the metric that summaries compare), ``card`` (where its files come from; None if it needs none),
    ``many`` and ``few`` (a label's bin with more than ``many`` training samples is many-shot, with fewer than ``few``
    few-shot, else median), ``dense`` (whether labels and predictions are maps (n, k, h, w)), ``shows_inputs`` (whether
    pages may show inputs and ids of samples, which a licence may forbid).

    Args:
        batch_size: samples per batch, before views are made.
        num_workers: processes that load batches; 0 loads in the training process.

    Attributes:
        protocol: rule that redraws the splits from all samples; None, the default, keeps the dataset's own splits.
        sampling_power: how evenly training samples are drawn over the bins; set it before training. 0, the start, draws
            each sample once per epoch, 1 fills all bins alike; see `conr.data.sampling.sampling_weights`.
    """

    name: str
    label_name: str
    label_unit: str = ""
    label_dimensions: tuple[str, ...] = ()
    headline: str = "mae"
    card: DatasetCard | None = None
    many: int = 100
    few: int = 20
    dense: bool = False
    shows_inputs: bool = True

    def __init__(self, *, batch_size: int = 64, num_workers: int = 0) -> None:
        super().__init__()
        check_number("batch_size", batch_size, low=1)
        check_number("num_workers", num_workers, low=0)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.sampling_power = 0.0
        self.protocol: Protocol | None = None
        self._loaded_splits: tuple[Protocol | None, Splits] | None = None

    @property
    def title(self) -> str:
        """Name of the dataset in results: its own, followed by that of the protocol if there is one."""
        return self.name if self.protocol is None else f"{self.name}-{self.protocol.name}"

    @abstractmethod
    def load(self) -> Splits:
        """Read or make the splits; called once."""

    def load_with(self, protocol: Protocol) -> Splits:
        """Read or make the splits that a protocol draws; raises as `conr.data.Protocol.rows`.

        By default these are samples of the splits of `load`. A dataset that fits something on its training split, such
        as a scale, or augments it, lets the protocol choose before that.
        """
        return protocol.apply(self.load())

    def problems(self) -> list[str]:
        """Everything that is wrong with the files, one sentence each; empty if all is well.

        By default the splits are loaded and their sizes compared with the card's; a dataset that can say more does.
        """
        try:
            splits = self.splits
        except (ValueError, OSError) as error:
            return [str(error)]
        if self.protocol is not None:
            return []
        return self.unpublished_sizes({split: len(getattr(splits, split)) for split in SPLITS})

    def unpublished_sizes(self, sizes: Mapping[str, int]) -> list[str]:
        """A sentence for each of these splits whose size is not the one that the card says."""
        published = self.card.counts if self.card else {}
        return [
            f"{split}: expected {published[split]} samples as published, got {size}"
            for split, size in sizes.items()
            if size != published.get(split, size)
        ]

    def prepare_files(self) -> list[Path]:
        """Make the files that the published protocol derives from the raw ones, and return those that were made."""
        return []

    @property
    def splits(self) -> Splits:
        """The splits, loaded on first use."""
        if self._loaded_splits is None or self._loaded_splits[0] is not self.protocol:
            self._loaded_splits = self.protocol, self.load() if self.protocol is None else self.load_with(self.protocol)
        return self._loaded_splits[1]

    def train_labels(self) -> Tensor:
        """Labels of the training split, (n,) or (n, k); of dense labels a sample of pixels that stands for them."""
        return self.splits.train.labels

    def fit_density(self, density: SampleWeights) -> None:
        """Fit a density on the training labels."""
        density.fit(self.train_labels(), self.splits.bins)

    def described(self) -> dict[str, Any]:
        """The fields ``dataset``, ``label`` and ``headline`` of a `conr.runs.RunResult`."""
        dimensions = {"dimensions": list(self.label_dimensions)} if self.label_dimensions else {}
        label = {"name": self.label_name, "unit": self.label_unit} | dimensions
        return {"dataset": self.title, "label": label, "headline": self.headline}

    def shot_density(self) -> LabelDensity:
        """Training counts and shot regions of the labels, as the metrics use them."""
        return LabelDensity(many=self.many, few=self.few).fit(self.splits.train.labels, self.splits.bins)

    def _shot_density_with_regions_of(self, labels: Tensor) -> LabelDensity:
        """Training counts, with the shot regions that other labels would give if they were those of training."""
        whole = LabelDensity(many=self.many, few=self.few).fit(labels, self.splits.bins)
        regions = [REGIONS[region] for region in whole.region_of_bin.tolist()]
        return LabelDensity(fixed_regions=regions).fit(self.splits.train.labels, self.splits.bins)

    def metrics(self, density: LabelDensity, prefix: str) -> MetricCollection:
        """The metrics of a split: names after ``prefix`` to numbers, also with ``_many``, ``_median`` and ``_few``."""
        return shot_metrics(density, prefix=prefix)

    def sample_values(self, sample: str) -> dict[str, str]:  # noqa: ARG002  for datasets that know more
        """Facts about the sample of an id to show beside its picture, by name; none by default."""
        return {}

    def setup(self, stage: str) -> None:  # noqa: ARG002  Lightning passes it
        """Load the splits; called by the trainer."""
        self.splits  # noqa: B018  loads on first use

    def train_dataloader(self) -> DataLoader[tuple[Inputs, Tensor]]:
        """Shuffled batches of the training split, this process's share of them; see ``sampling_power``.

        Raises:
            ValueError: a negative ``sampling_power``, or one above 0 with dense labels.
        """
        train = self.splits.train
        weights = None
        if self.sampling_power:
            if self.dense:
                raise ValueError(f"sampling_power: expected 0 with dense labels, got {self.sampling_power}")
            weights = sampling_weights(train.labels, self.splits.bins, power=self.sampling_power)
        share = getattr(self.trainer, "distributed_sampler_kwargs", None) or {"rank": 0, "num_replicas": 1}
        sampler = EpochSampler(len(train), weights=weights, rank=share["rank"], world=share["num_replicas"])
        if self.trainer is not None:
            # The trainer tells it too, but only after workers have drawn the first batches of a resumed run.
            counter: Any = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(counter.processed)
        return self._loader(train, sampler)

    def val_dataloader(self) -> DataLoader[tuple[Inputs, Tensor]]:
        """Batches of the validation split, in order."""
        return self._loader(self.splits.val)

    def test_dataloader(self) -> DataLoader[tuple[Inputs, Tensor]]:
        """Batches of the test split, in order."""
        return self._loader(self.splits.test)

    def predict_dataloader(self) -> DataLoader[tuple[Inputs, Tensor]]:
        """Batches of the samples to predict, in order: the test split, with its labels for comparison."""
        return self.test_dataloader()

    def loading_processes(self, dataset: RegressionDataset) -> int:  # noqa: ARG002  for datasets that know more
        """Number of processes that load the batches of a split, ``num_workers``; called before its loader is made."""
        return self.num_workers

    def _loader(
        self, dataset: RegressionDataset, sampler: Sampler[int] | None = None
    ) -> DataLoader[tuple[Inputs, Tensor]]:
        workers = self.loading_processes(dataset)
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
