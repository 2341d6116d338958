"""Dense labels in RegressionModule and what it calls, on maps of a few pixels."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tests.training.toy import trainer
from torch import Tensor, nn
from torchmetrics import MetricCollection

from conr import Bins, LabelDensity
from conr.data import RegressionData, RegressionDataset, Splits
from conr.losses import L1, DenseConR, dense_conr_loss
from conr.methods.dense import (
    COLLAPSE_PIXELS,
    KEPT_PIXELS,
    at_label_size,
    collapse_rows,
    criterion_rows,
    kept_outputs,
    label_weights,
)
from conr.metrics import depth_metrics
from conr.models import DepthHead
from conr.training import RegressionModule, Regularizer
from conr.training.callbacks import MapWriter

BINS = Bins([0, 1, 2, 3, 4])
COUNTS = torch.tensor([60, 30, 8, 2])


class Slopes(RegressionDataset):
    """Images whose first channel says the depth; every fifth pixel has none."""

    def __init__(self, n: int, size: tuple[int, int]) -> None:
        self.size = size
        self.ids = [f"room:{i}" for i in range(n)]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(index)
        depth = 0.5 + 3 * torch.rand(1, 4, 6, generator=generator)
        image = depth + 0.1 * torch.randn(3, 4, 6, generator=generator)
        labels = F.interpolate(depth.unsqueeze(0), size=self.size, mode="nearest").squeeze(0)
        return image, labels.flatten().index_fill(0, torch.arange(index % 5, labels.numel(), 5), math.nan).view_as(
            labels
        )


class Rooms(RegressionData):
    name = "rooms"
    label_name = "depth"
    headline = "rmse"
    dense = True

    def load(self) -> Splits:
        return Splits(Slopes(6, (4, 6)), Slopes(3, (8, 12)), Slopes(5, (8, 12)), BINS)

    def train_labels(self) -> Tensor:
        return BINS.centers.squeeze(1).float().repeat_interleave(COUNTS)

    def shot_density(self) -> LabelDensity:
        return LabelDensity(many=50, few=10).fit_counts(COUNTS, BINS)

    def metrics(self, density: LabelDensity, prefix: str) -> MetricCollection:
        return depth_metrics(density, prefix=prefix)


def density() -> LabelDensity:
    return LabelDensity(scheme="inverse").fit_counts(COUNTS, BINS)


def make(**settings: Any) -> RegressionModule:
    torch.manual_seed(0)
    return RegressionModule(nn.Conv2d(3, 5, 3, padding=1), head=DepthHead(5), criterion=L1(), **settings)


def test_a_step_is_the_mean_over_valid_pixels_and_conr_on_the_maps() -> None:
    data = Rooms(batch_size=6)
    term = Regularizer(DenseConR(window=0.5, reduce="pixel", samples=1000), 0.3, LabelDensity(scheme="sqrt_inverse"))
    module = make(criterion_density=LabelDensity(scheme="inverse"), regularizers={"conr": term}, view_mode="one")
    run = trainer(limit_val_batches=0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run.fit(module, datamodule=data)

    other = make()
    other.load_state_dict(before)
    images, labels = (torch.stack(parts) for parts in zip(*(data.splits.train[i] for i in range(6)), strict=True))
    features = other.encoder(images)
    predictions = other.head(features)
    valid = ~labels.isnan()
    weights = density().weights(labels[valid])
    criterion = (weights * (predictions[valid] - labels[valid]).abs()).sum() / valid.sum()
    rooted = LabelDensity(scheme="sqrt_inverse").fit_counts(COUNTS, BINS)
    all_weights = rooted.weights(labels.flatten(), check=False).view(6, 4, 6)
    conr = dense_conr_loss(features, labels, predictions, window=0.5, weights=all_weights, reduce="pixel", samples=1000)
    assert conr > 0
    logged = run.callback_metrics
    torch.testing.assert_close(logged["train/criterion"], criterion.detach())
    torch.testing.assert_close(logged["train/conr"], conr.detach())
    torch.testing.assert_close(logged["train/loss"], (criterion + 0.3 * conr).detach())


def test_validation_compares_at_the_size_of_the_labels() -> None:
    data, module = Rooms(batch_size=2), make(collapse_window=0.5)
    run = trainer()
    run.fit(module, datamodule=data)
    expected = depth_metrics(data.shot_density(), prefix="val/")
    for images, labels in data.val_dataloader():
        predictions = module.eval()(images).detach()
        assert predictions.shape[2:] == (4, 6)
        expected.update(F.interpolate(predictions, size=(8, 12), mode="bilinear", align_corners=True), labels)
    values = expected.compute()
    for name in ("val/rmse", "val/brmse", "val/count", "val/delta1_many"):
        torch.testing.assert_close(run.callback_metrics[name], values[name].float(), check_dtype=False)
    assert 0 <= run.callback_metrics["train/collapse"] <= 1


def test_predictions_are_a_file_per_image(tmp_path: Path) -> None:
    data, module = Rooms(batch_size=2), make()
    run = trainer(1, MapWriter(tmp_path / "maps"))
    assert not run.predict(module, datamodule=data)  # not held in memory
    lines = (tmp_path / "maps" / "index.csv").read_text().splitlines()
    assert lines == ["id,file", *(f"room:{i},{i:06d}.npy" for i in range(5))]
    for i in range(5):
        image, labels = data.splits.test[i]
        assert isinstance(image, Tensor)
        expected = at_label_size(module.eval()(image.unsqueeze(0)), labels.unsqueeze(0))[0, 0].detach()
        found = np.load(tmp_path / "maps" / f"{i:06d}.npy")
        assert (found.shape, found.dtype) == ((8, 12), np.float32)
        torch.testing.assert_close(torch.from_numpy(found), expected)


def test_several_label_dimensions_stay_in_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = RegressionModule(nn.Conv2d(3, 5, 1), head=DepthHead(5, 2))
    module.setup = lambda stage: None  # type: ignore[method-assign]  # noqa: ARG005
    trainer(1, MapWriter(tmp_path / "maps")).predict(module, datamodule=Rooms(batch_size=5))
    assert np.load(tmp_path / "maps" / "000004.npy").shape == (2, 8, 12)


def test_predictions_without_labels_keep_their_size() -> None:
    module = make()
    images = torch.rand(2, 3, 4, 6)
    assert module.predict_step(images, 0).shape == (2, 1, 4, 6)
    assert module.predict_step((images, torch.zeros(2, 1, 9, 7)), 0).shape == (2, 1, 9, 7)


def test_kept_pixels_are_spread_over_the_valid_ones() -> None:
    labels = torch.arange(2 * 20 * 30.0).view(2, 1, 20, 30)
    labels[0, 0, :, ::2] = math.nan
    labels[1] = math.nan
    labels[1, 0, 3, 4] = 7.0
    predictions = labels.nan_to_num(-1) + 0.5
    features = torch.arange(2 * 10 * 15.0).view(2, 1, 10, 15).expand(2, 3, 10, 15)
    kept = kept_outputs(features, predictions, labels)
    pixels = kept["pixels"]
    assert len(pixels) == KEPT_PIXELS + 1
    assert pixels[-1].tolist() == [1, 3, 4]
    assert kept["labels"][-1] == 7
    assert pixels[0].tolist() == [0, 0, 1]
    assert pixels[-2].tolist() == [0, 19, 29]
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == len(pixels)
    image, row, column = pixels.T
    assert torch.equal(kept["labels"], labels[image, 0, row, column])
    assert torch.equal(kept["predictions"], kept["labels"] + 0.5)
    assert torch.equal(kept["features"], features[image, :, row // 2, column // 2])


def test_kept_pixels_of_several_label_dimensions_and_of_images_without_labels() -> None:
    kept = kept_outputs(torch.rand(1, 3, 2, 2), torch.rand(1, 2, 2, 2), torch.rand(1, 2, 2, 2))
    assert kept["labels"].shape == (4, 2)
    nothing = kept_outputs(torch.rand(1, 3, 2, 2), torch.rand(1, 1, 2, 2), torch.full((1, 1, 2, 2), math.nan))
    assert (nothing["features"].shape, nothing["labels"].shape) == ((0, 3), (0,))


def test_collapse_sees_a_sample_of_the_valid_pixels() -> None:
    labels = torch.rand(2, 1, 30, 40)
    labels[:, :, :, 5:] = math.nan  # 300 valid pixels
    predictions, sampled = collapse_rows(labels.nan_to_num(0) + 1, labels)
    torch.testing.assert_close(predictions, sampled + 1)
    assert sorted(sampled.flatten().tolist()) == sorted(labels[~labels.isnan()].tolist())
    assert len(collapse_rows(torch.rand(2, 1, 30, 40), torch.rand(2, 1, 30, 40))[0]) == COLLAPSE_PIXELS


def test_rows_pass_through() -> None:
    features, labels, weights = torch.rand(5, 3), torch.tensor([0.5, 0.5, 1.5, 2.5, 3.5]), torch.rand(5)
    assert criterion_rows(labels, labels, weights)[2] is weights
    assert collapse_rows(labels, labels) == (labels, labels)
    assert at_label_size(labels, labels) is labels
    assert set(kept_outputs(features, labels, labels)) == {"features", "predictions", "labels"}
    assert label_weights(None, labels) is None
    found = label_weights(density(), labels)
    assert found is not None
    assert torch.equal(found, density().weights(labels))


def test_weights_of_maps_lie_at_their_pixels() -> None:
    labels = torch.rand(2, 1, 3, 4) * 4
    labels[0, 0, 1, 1] = math.nan
    weights = label_weights(density(), labels)
    assert weights is not None
    assert weights.shape == (2, 3, 4)
    valid = ~labels.isnan().squeeze(1)
    assert torch.equal(weights[valid], density().weights(labels.squeeze(1)[valid]))
    assert torch.isfinite(weights).all()
