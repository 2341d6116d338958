import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.contracts.batches import Batch, make_batch
from tests.distributed.processes import run_processes
from tests.tolerances import TOLERANCE
from torch import Tensor

from conr.density import Bins
from conr.density.kernels import smooth_bins
from conr.smoothing import FDS, BinCalibration, BinMoments, calibrate
from conr.smoothing.calibration import fill_bins

BINS = Bins([0, 1, 2, 3, 4, 5, 6, 7])
FEATURES = torch.tensor([[0.0], [2.0], [4.0], [10.0]], dtype=torch.float64)
LABELS = torch.tensor([0.5, 0.6, 1.5, 1.6])


def small(**changes: Any) -> FDS:
    settings: dict[str, Any] = {"bins": Bins([0, 1, 2]), "kernel": "triangular", "kernel_size": 3} | changes
    return FDS(1, **settings).double()


def test_four_samples_by_hand() -> None:
    """Bins of mean 1 and 7 and of variance 2 and 18; half of a smoothed value is of the other bin, its mirror image."""
    layer = small(clip=(0.6, 10.0))
    assert torch.equal(layer(FEATURES, LABELS), FEATURES)
    layer.on_train_epoch_end()
    mean, variance = (1 + 7) / 2, (2 + 18) / 2
    up, down = math.sqrt(variance / 2), math.sqrt(0.6)  # 10 / 18 is clipped
    expected = [mean - up, mean + up, mean - 3 * down, mean + 3 * down]
    assert layer(FEATURES, LABELS).flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert layer.eval()(FEATURES, LABELS) is FEATURES


def test_the_second_epoch_counts_with_momentum() -> None:
    layer = small(momentum=0.75)
    for features in (FEATURES, FEATURES + 4):
        layer(features, LABELS)
        layer.on_train_epoch_end()
    assert layer.calibration.mean.flatten().tolist() == pytest.approx([2, 8])
    by_count = small(momentum=None)
    for features in (FEATURES, FEATURES.repeat(3, 1) + 4):
        by_count(features, LABELS.repeat(len(features) // 4))
        by_count.on_train_epoch_end()
    assert by_count.calibration.mean.flatten().tolist() == pytest.approx([4, 10])


def test_the_order_of_the_released_code() -> None:
    """Epoch 1 passes; epoch 2 whitens by both epochs, and colours by the first one only, in which bin 1 was empty."""
    layer = small(reference=True, fill=False, momentum=0.5)
    layer(FEATURES[:2], LABELS[:2])
    layer.on_train_epoch_end()
    assert torch.equal(layer(FEATURES, LABELS), FEATURES)
    layer.on_train_epoch_end()
    assert layer.calibration.mean.flatten().tolist() == pytest.approx([1, 0.5 * 7])
    smoothed_mean, smoothed_variance = (1 + 0) / 2, (2 + 1) / 2
    first, second = math.sqrt(smoothed_variance / 2), math.sqrt(smoothed_variance / (0.5 * 1 + 0.5 * 18))
    expected = [smoothed_mean - first, smoothed_mean + first] + [smoothed_mean + second * (x - 3.5) for x in (4, 10)]
    found = layer(FEATURES, LABELS)
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert layer.moments.mean[0].item() == pytest.approx(found[:2].mean().item())  # it measures what it has smoothed


def test_the_kernel_is_that_of_the_benchmarks_with_sum_one() -> None:
    layer = FDS(1, Bins.by_width(width=1, low=0, high=20))
    index = torch.arange(20)
    for shift in (-1.0, 1.0):  # a single sample has no variance
        layer.moments.add((index == 10).unsqueeze(1) * 1.0 + shift, index)
    layer.on_train_epoch_end()
    expected = [0, 0.1863, 0.2052, 0.2170, 0.2052, 0.1863, 0]
    torch.testing.assert_close(layer.calibration.smoothed_mean[7:14, 0], torch.tensor(expected), rtol=0, atol=1e-4)


def test_epochs_before_the_first_ones_do_nothing() -> None:
    layer = small(start_update=2, start_smooth=4)
    for epoch in range(5):
        shifted = FEATURES + (100 if epoch < 2 else 0)
        assert torch.equal(layer(shifted, LABELS), shifted) == (epoch < 4)
        layer.on_train_epoch_end()
        assert bool(layer.calibration.count.any()) == (epoch >= 2)
    assert layer.calibration.mean.flatten().tolist() == pytest.approx([1, 7])


def test_an_epoch_without_batches_changes_nothing() -> None:
    layer = small()
    layer.on_train_epoch_end()
    layer(FEATURES, LABELS)
    layer.on_train_epoch_end()
    before = layer(FEATURES, LABELS)
    layer.moments.clear()
    layer.on_train_epoch_end()
    assert torch.equal(layer(FEATURES, LABELS), before)


def test_bins_that_were_never_seen_are_filled_or_left_out() -> None:
    """Of four bins the first and the last have samples, of mean 1 and 7."""
    means = {}
    for fill in (True, False):
        layer = small(bins=Bins([0, 1, 2, 3, 4]), fill=fill)
        layer(FEATURES, torch.tensor([0.5, 0.5, 3.5, 3.5]))
        layer.on_train_epoch_end()
        means[fill] = layer.calibration.smoothed_mean.flatten().tolist()
        assert layer.calibration.ready.tolist() == [True, False, False, True]
    assert means[True] == pytest.approx([1, 0.75 * 1 + 0.25 * 7, 0.25 * 1 + 0.75 * 7, 7])
    assert means[False] == pytest.approx([1, 1, 7, 7])


def test_filling_takes_the_mean_of_the_nearest() -> None:
    table = torch.tensor([[1.0], [0.0], [5.0], [0.0], [0.0], [0.0]])
    seen = torch.tensor([True, False, True, False, False, False])
    assert fill_bins(table, seen, [6]).flatten().tolist() == [1, 3, 5, 5, 5, 5]
    assert fill_bins(table, seen, [2, 3]).flatten().tolist() == [1, 3, 5, 1, 3, 5]


def test_the_ends_are_mirrored_however_wide_the_kernel() -> None:
    table = torch.tensor([[1.0], [2.0], [4.0]])
    wide = torch.tensor([1.0, 0, 0, 0, 0, 0, 0])  # reaches three bins to the left

    def mirrored(grid: Tensor, kernel: Tensor) -> Tensor:
        return smooth_bins(grid, kernel, dimensions=1, boundary="mirror")

    assert mirrored(table, wide).flatten().tolist() == [2, 4, 2]
    assert mirrored(table[:1], wide).flatten().tolist() == [1]
    for kernel in (torch.tensor([0.25, 0.5, 0.25]), torch.full((5,), 0.2)):
        rows = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
        half = len(kernel) // 2
        padded = torch.nn.functional.pad(rows.unsqueeze(1), (half, half), mode="reflect")
        expected = torch.nn.functional.conv1d(padded, kernel.reshape(1, 1, -1)).squeeze(1)
        torch.testing.assert_close(mirrored(rows.T, kernel), expected.T)


def test_moments_do_not_lose_small_variances_beside_large_means() -> None:
    features = 1e4 + torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    moments = BinMoments(1, 2)
    for part in torch.split(features, 100):
        moments.add(part, torch.zeros(100, dtype=torch.long))
    torch.testing.assert_close(moments.variance(), features.double().var(dim=0).float().unsqueeze(0), rtol=1e-3, atol=0)
    assert moments.count.tolist() == [1000]


def test_the_bins_of_the_constructor_win() -> None:
    layer = small()
    assert layer.fit(LABELS, BINS).bins == Bins([0, 1, 2])
    with pytest.raises(ValueError, match=r"labels: expected numbers in \[0, 2\], got 9 at position 0"):
        layer.fit(torch.tensor([9.0]), BINS)


SIZES = [5, 18]


def joined(step: int) -> Batch:
    return make_batch(50 + step, n=sum(SIZES), d=3)


def run_rank(rank: int) -> dict[bool, Any]:
    return {reference: run_layer(reference, rank) for reference in (False, True)}


def run_layer(reference: bool, rank: int | None) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Two epochs of two batches, or of one rank's part of them; of the last one, rank 0 has nothing."""
    layer, outputs = FDS(3, BINS, reference=reference).double(), []
    for step in range(4):
        batch = joined(step)
        if rank is not None:
            batch = Batch(*(torch.split(tensor, SIZES if step < 3 else [0, 23])[rank] for tensor in batch))
        outputs.append(layer(batch.features, batch.labels))
        if step % 2:
            layer.on_train_epoch_end()
    return dict(layer.state_dict()), outputs


def test_two_processes_with_unequal_batches_measure_what_one_does(tmp_path: Path) -> None:
    found = run_processes(run_rank, 2, tmp_path)
    for reference in (False, True):
        state, outputs = run_layer(reference, None)
        assert state["calibration.count"].sum() == 4 * sum(SIZES)
        (first, first_outputs), (second, second_outputs) = (rank[reference] for rank in found)
        torch.testing.assert_close(first, state, **TOLERANCE[torch.float64])
        assert all(torch.equal(first[name], second[name]) for name in first)
        for step, expected in enumerate(outputs):
            actual = torch.cat((first_outputs[step], second_outputs[step]))
            torch.testing.assert_close(actual, expected, **TOLERANCE[torch.float64])


def test_bad_tables_are_answered_with_what_was_expected() -> None:
    one = torch.ones(2, 3)
    good: dict[str, Any] = dict.fromkeys(("mean", "variance", "smoothed_mean", "smoothed_variance"), one)
    for name in good:
        with pytest.raises(ValueError, match=rf"{name}: expected shape \(2, 3\) like features, got \(2, 1\)"):
            calibrate(one, **good | {name: one[:, :1]})
    with pytest.raises(ValueError, match="clip: expected 0 < low <= high"):
        calibrate(one, **good, clip=(0.0, 1.0))
    with pytest.raises(ValueError, match="bins: expected a number of at least 1, got 0"):
        BinMoments(0, 1)
    with pytest.raises(ValueError, match="shape: expected a number of at least 1, got 0"):
        BinCalibration([0], 1)


def test_variances_next_to_nothing_leave_features_alone() -> None:
    row, tiny = torch.tensor([[3.0, 4.0]]), torch.tensor([[1e-12, 0.0]])
    assert torch.equal(calibrate(row, row - 1, tiny, row + 5, tiny + 1), row)


def test_the_layer_names_its_bad_size_and_prints_its_settings() -> None:
    for size, error in ((0, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="num_features: expected a number"):
            FDS(size)  # type: ignore[arg-type]
    assert "num_features=1, bins=Bins(2 over [0, 2]), kernel='triangular', kernel_size=3" in repr(small())
    assert "shape=(2,), num_features=1" in repr(small().calibration)
