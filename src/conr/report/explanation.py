"""Explanation of a trained network on rare labels: its features, their neighbours, its worst errors."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from conr._checks import check_choice, check_number
from conr.data import Inputs, RegressionDataset
from conr.density import REGIONS, LabelDensity
from conr.report.tables import REGION_TITLES, TextTable, significant_text
from conr.runs.history import read_history
from conr.runs.outputs import evenly_chosen
from conr.training.loading import LoadedRun, load_run

NEIGHBOURS = 6
GAP_NEIGHBOURS = 10
RARE_SAMPLES = 3
WORST_SAMPLES = 12
SPLITS = ("test", "val")

Array = NDArray[Any]
_Seen = tuple[RegressionDataset, "Embedded"]  # samples, and some of them as a network sees them


class Embedded(NamedTuple):
    """Samples as a network sees them."""

    positions: Array  # in their split, shape (m,)
    features: Array  # shape (m, d), float32
    labels: Array  # shape (m, k), in label units
    predictions: Array  # like `labels`

    @property
    def errors(self) -> Array:
        """Distance of prediction and label, shape (m,)."""
        distances: Array = np.linalg.norm(self.predictions - self.labels, axis=1)
        return distances


class Sample(NamedTuple):
    """One sample to show."""

    name: str  # its id; its position, if the dataset's inputs and ids must not be shown
    label: Array  # shape (k,)
    prediction: Array  # shape (k,)
    region: str  # of its label
    image: Array | None  # (h, w) or (h, w, 3) in [0, 1]; None if it is none or must not be shown
    values: dict[str, str]  # its other columns or facts, by name
    # cosine of its features with those of the sample it is a neighbour of; None if of none
    similarity: float | None = None


class Neighbourhood(NamedTuple):
    """A rare sample, and the training samples whose features are nearest, nearest first."""

    sample: Sample
    neighbours: list[Sample]


class Explanation(NamedTuple):
    """Findings of `explain_run`."""

    title: str  # method and dataset
    split: str  # which samples are explained
    described: dict[str, Any]  # `dataset`, `label`, `bins` and `headline` as in a result file
    # by title ("untrained", "trained", and a second run), the samples as that network sees them
    maps: dict[str, Embedded]
    # by title, by region ("all", "many", "median", "few"), the mean distance of a sample's label to those of its ten
    # nearest training samples in feature space, in label units; None for a region without samples
    gaps: dict[str, dict[str, float | None]]
    # by name of the logged measure ("collapse", "collapse_few", ...), pairs of epoch and share
    collapse: dict[str, list[tuple[int, float]]]
    rare: list[Neighbourhood]  # rare samples with their neighbours
    worst: list[Sample]  # the samples with the largest errors, largest first
    trained: Embedded  # as in `maps`
    regions: Array  # of each of these, positions in `REGIONS`, shape (m,)


def explain_run(folder: Path, *, split: str = "test", most: int = 2000, beside: Path | None = None) -> Explanation:
    """Compare the network of a run before and after training, on all and on rare samples.

    Args:
        folder: of the run.
        split: the samples that are explained, "test" or "val". Their neighbours are those of the training split.
        most: samples of each split at most, evenly spread.
        beside: folder of another run on the same dataset, whose features are shown too.

    Raises:
        FileNotFoundError: no run's folder, or one without a best checkpoint.
        ValueError: an unknown split, dense labels, another dataset beside, or a broken checkpoint.
    """
    check_choice("split", split, SPLITS)
    check_number("most", most, low=1)
    before, after = load_run(folder, trained=False), load_run(folder)
    if after.data.dense:
        raise ValueError(f"{folder}: expected a run with one label per sample, got one with dense labels")
    runs = {"untrained": before, "trained": after}
    if beside is not None:
        other = load_run(beside)
        if other.data.title != after.data.title:
            raise ValueError(f"beside: expected a run on {after.data.title}, got one on {other.data.title}")
        name = other.method if other.method != after.method else f"{other.method}, {beside.name}"
        runs[name] = other
    shown: RegressionDataset = getattr(after.data.splits, split)
    train = after.data.splits.train
    chosen, kept = evenly_chosen(len(shown), most), evenly_chosen(len(train), most)
    maps = {title: embed(run, shown, chosen) for title, run in runs.items()}
    trains = {title: embed(run, train, kept) for title, run in runs.items()}
    density, trained, history = after.module.shot_density, maps["trained"], read_history(folder)
    regions = _regions(density, trained.labels)
    worst = np.argsort(-trained.errors, kind="stable")[:WORST_SAMPLES]
    return Explanation(
        title=f"{after.method} on {after.data.title}",
        split=split,
        described=after.data.described() | {"bins": density.table()},
        maps=maps,
        gaps={title: label_gaps(maps[title], trains[title], regions) for title in runs},
        collapse={
            name.removeprefix("train/"): values
            for name, values in history.items()
            if name.startswith("train/collapse") and any(np.isfinite(value) for _, value in values)
        },
        rare=_neighbourhoods(after, (shown, trained), (train, trains["trained"])),
        worst=[_sample(after, (shown, trained), row) for row in worst],
        trained=trained,
        regions=regions,
    )


def gaps_table(found: Explanation) -> TextTable:
    """Tabulate the mean label distance to the nearest training samples in feature space, networks by shot regions."""
    return TextTable.of(
        f"Distance of a sample's label to those of its {GAP_NEIGHBOURS} nearest training samples in feature space, "
        "mean by shot region, in label units. Small: neighbours have similar labels. Large at few-shot labels: these "
        "lie among common ones.",
        ("network", *REGION_TITLES.values()),
        [[title, *(significant_text(gaps[region]) for region in REGION_TITLES)] for title, gaps in found.gaps.items()],
    )


@torch.no_grad()
def embed(run: LoadedRun, dataset: RegressionDataset, positions: Array) -> Embedded:
    """Features, labels and predictions of some samples.

    Args:
        run: loaded.
        dataset: a split of it.
        positions: in the split, shape (m,).
    """
    loader: DataLoader[Any] = DataLoader(Subset(dataset, positions.tolist()), batch_size=run.data.batch_size)
    parts = [run.module.test_step(batch, 0) for batch in loader]
    features, labels, predictions = (
        torch.cat([part[name].flatten(1) if part[name].ndim > 1 else part[name].unsqueeze(1) for part in parts])
        for name in ("features", "labels", "predictions")
    )
    return Embedded(positions, features.float().numpy(), labels.double().numpy(), predictions.double().numpy())


def label_gaps(samples: Embedded, train: Embedded, regions: Array) -> dict[str, float | None]:
    """Mean distance of a sample's label to those of its nearest training samples, by region.

    Where features keep the order of labels it is small; where rare labels have collapsed into common ones it is large.

    Args:
        samples: with m rows.
        train: with at least one row.
        regions: of the samples, positions in ``REGIONS``, shape (m,).
    """
    nearest = _nearest(samples.features, train.features, GAP_NEIGHBOURS)[0]  # (m, neighbours)
    gaps = np.linalg.norm(train.labels[nearest] - samples.labels[:, None], axis=2).mean(axis=1)  # (m,)
    parts = {"all": gaps, **{region: gaps[regions == number] for number, region in enumerate(REGIONS)}}
    return {region: float(part.mean()) if len(part) else None for region, part in parts.items()}


def as_image(inputs: Inputs) -> Array | None:
    """An input as an image (h, w) or (h, w, 3) in [0, 1], stretched to its own range; None if it is none.

    Args:
        inputs: of one sample: a tensor (c, h, w) with one or three channels, or several by name of which one is such.
    """
    candidates = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    for one in candidates:
        if isinstance(one, Tensor) and one.ndim == 3 and one.shape[0] in (1, 3):
            values = one.detach().float()
            low, high = values.min(), values.max()
            scaled = ((values - low) / (high - low if high > low else 1)).numpy()
            return scaled[0] if len(scaled) == 1 else np.moveaxis(scaled, 0, -1)
    return None


def _sample(run: LoadedRun, seen: _Seen, row: int, similarity: float | None = None) -> Sample:
    dataset, embedded = seen
    position = int(embedded.positions[row])
    inputs, _ = dataset[position]
    name, shows_inputs = dataset.ids[position], run.data.shows_inputs
    return Sample(
        name=name if shows_inputs else f"sample {position}",
        label=embedded.labels[row],
        prediction=embedded.predictions[row],
        region=REGIONS[int(_regions(run.module.shot_density, embedded.labels[row : row + 1])[0])],
        image=as_image(inputs) if shows_inputs else None,
        values=run.data.sample_values(name) if shows_inputs else {},
        similarity=similarity,
    )


def _regions(density: LabelDensity, labels: Array) -> Array:
    return density.regions(_as_labels(labels), check=False).numpy()


def _as_labels(labels: Array) -> Tensor:
    tensor = torch.from_numpy(labels)
    return tensor.squeeze(1).float() if tensor.shape[1] == 1 else tensor.float()


def _neighbourhoods(run: LoadedRun, samples: _Seen, train: _Seen) -> list[Neighbourhood]:
    """Of the samples in the emptiest training bins, one per bin."""
    density = run.module.shot_density
    index = density.fitted_bins().index(_as_labels(samples[1].labels), check=False).numpy()  # (m,)
    counts = density.counts.flatten().numpy()[index]  # (m,)
    rows: dict[int, int] = {}
    for row in np.argsort(counts, kind="stable"):
        rows.setdefault(int(index[row]), int(row))
    chosen = list(rows.values())[:RARE_SAMPLES]
    nearest, similarities = _nearest(samples[1].features[chosen], train[1].features, NEIGHBOURS)
    return [
        Neighbourhood(
            _sample(run, samples, row),
            [_sample(run, train, int(other), float(cosine)) for other, cosine in zip(others, cosines, strict=True)],
        )
        for row, others, cosines in zip(chosen, nearest, similarities, strict=True)
    ]


def _nearest(features: Array, others: Array, count: int) -> tuple[Array, Array]:
    """Positions and cosines of the most similar others, each shape (m, count) or fewer."""
    first, second = (torch.nn.functional.normalize(torch.from_numpy(part), dim=1) for part in (features, others))
    cosines, positions = (first @ second.T).topk(min(count, len(others)), dim=1)
    return positions.numpy(), cosines.numpy()
