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
from conr.smoothing import BinCalibration, BinMoments, VariationalFDS

FEATURES = torch.tensor([[0.0], [2.0], [4.0], [10.0]], dtype=torch.float64)
LABELS = torch.tensor([0.5, 0.6, 1.5, 1.6])


def small(**changes: Any) -> VariationalFDS:
    """One feature, whose variance is 1 whatever the feature."""
    settings: dict[str, Any] = {"bins": Bins([0, 1, 2]), "kernel": "triangular", "kernel_size": 3} | changes
    layer = VariationalFDS(1, **settings).double()
    torch.nn.init.zeros_(layer.spread.weight)
    torch.nn.init.constant_(layer.spread.bias, math.log(math.expm1(1)))
    return layer


def drawn(layer: VariationalFDS, features: Tensor = FEATURES, labels: Tensor = LABELS) -> tuple[Tensor, Tensor]:
    """What the layer makes of a batch, and the noise that it draws for it."""
    torch.manual_seed(0)
    noise = torch.randn_like(features)
    torch.manual_seed(0)
    return layer(features, labels), noise


def test_four_samples_by_hand() -> None:
    """Two samples of variance 1 in each bin: means 0 and 2, 4 and 10. A smoothed mean is half of the other bin's, as
    that is its own mirror image; of variances a quarter is the own, and twice a sixteenth the other one's."""
    layer = small()
    found, noise = drawn(layer)
    torch.testing.assert_close(found, FEATURES + noise)
    layer.on_train_epoch_end()
    variance_of_mean = 1 / 2
    totals = [1 - variance_of_mean + 1, 1 - variance_of_mean + 9]
    of_totals = [2 * total**2 for total in totals]
    shrunk = math.sqrt((1 / 4 + 1 / 8) * variance_of_mean / variance_of_mean)
    means = [4 - shrunk, 4 + shrunk, 4 - 3 * shrunk, 4 + 3 * shrunk]
    variances = []
    for own, other in ((0, 1), (1, 0)):
        ratio = (of_totals[own] / 4 + of_totals[other] / 8) / of_totals[own]
        variances += 2 * [math.sqrt(ratio) * (1 - totals[own]) + sum(totals) / 2]
    assert variances == pytest.approx([4.3528, 4.3528, 1.2236, 1.2236], abs=1e-3)
    found, noise = drawn(layer)
    draws = noise.flatten().tolist()
    expected = [m + math.sqrt(variance) * e for m, variance, e in zip(means, variances, draws, strict=True)]
    assert found.flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert layer.eval()(FEATURES, LABELS) is FEATURES


def test_the_variances_start_small_and_are_learnt() -> None:
    layer = VariationalFDS(8, Bins([0, 1, 2]))
    features = torch.zeros(4000, 8, requires_grad=True)
    found = layer(features, torch.full((4000,), 0.5))
    assert found.std().item() == pytest.approx(0.1, rel=0.03)
    found.square().sum().backward()
    assert layer.spread.bias.grad is not None
    assert (layer.spread.bias.grad > 0).all()  # less noise has smaller squares


def test_a_variance_below_zero_becomes_almost_none() -> None:
    layer = small()
    for _ in range(2):
        layer(FEATURES, LABELS)
        layer.on_train_epoch_end()
    tables = layer.variances
    for table, value in ((tables.mean, 5.0), (tables.variance, 1.0), (tables.smoothed_mean, 1.0)):
        table.fill_(value)
    tables.smoothed_variance.fill_(4.0)  # 2 (1 - 5) + 1 is -7
    features = FEATURES.clone().requires_grad_()
    found, _ = drawn(layer, features)
    torch.testing.assert_close(found, layer.means(FEATURES, torch.tensor([0, 0, 1, 1])), rtol=0, atol=1e-4)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_a_single_sample_has_no_total_variance() -> None:
    layer = small(kernel_size=1)
    layer(FEATURES[:1], LABELS[:1])
    layer.on_train_epoch_end()
    assert layer.variances.mean[0].item() == 0
    found, noise = drawn(layer, FEATURES[:1], LABELS[:1])
    torch.testing.assert_close(found, FEATURES[:1] + noise)  # neither mean nor variance are moved


def test_epochs_before_the_first_ones_do_nothing() -> None:
    layer = small(start_update=2, start_smooth=4)
    for epoch in range(5):
        shifted = FEATURES + (100 if epoch < 2 else 0)
        found, noise = drawn(layer, shifted)
        assert torch.allclose(found, shifted + noise) == (epoch < 4)
        layer.on_train_epoch_end()
        assert bool(layer.means.count.any()) == (epoch >= 2)
    assert layer.means.mean.flatten().tolist() == pytest.approx([1, 7])


def test_variances_of_independent_bins_are_smoothed_with_squared_weights() -> None:
    """Half of a bin's mean is its own, half the other bin's, in two mirrored quarters."""
    kernel = torch.tensor([0.25, 0.5, 0.25])
    calibration = BinCalibration([2], 1)
    calibration.update(torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([5, 5]), momentum=0.9)
    calibration.smooth(kernel, independent=True)
    assert calibration.smoothed_mean.flatten().tolist() == [2, 2]
    assert calibration.smoothed_variance.flatten().tolist() == pytest.approx([1 / 4 + 2 / 8, 2 / 4 + 1 / 8])


def test_bins_that_were_never_seen_have_no_share_in_the_squares() -> None:
    """Of four bins the first and the last are seen: each of the others knows one of them, and takes over all of it."""
    calibration = BinCalibration([4], 1)
    variance = torch.tensor([[1.0], [9.0], [9.0], [2.0]])
    calibration.update(variance, variance, torch.tensor([5, 0, 0, 5]), momentum=0.9)
    calibration.smooth(torch.tensor([0.25, 0.5, 0.25]), fill=False, independent=True)
    for table in (calibration.smoothed_mean, calibration.smoothed_variance):
        assert table.flatten().tolist() == pytest.approx([1, 1, 2, 2])


def test_the_mean_squared_deviation() -> None:
    moments = BinMoments(2, 1)
    moments.add(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]))
    assert moments.variance(correction=0).flatten().tolist() == [1, 0]


def test_the_bins_of_the_constructor_win() -> None:
    assert small().fit(LABELS, Bins([0, 4])).bins == Bins([0, 1, 2])


SIZES = [5, 18]


def run_rank(rank: int) -> dict[str, Tensor]:
    return run_layer(rank)


def run_layer(rank: int | None) -> dict[str, Tensor]:
    """Two epochs of two batches, or of one rank's part of them; of the last one, rank 0 has nothing."""
    torch.manual_seed(0)
    layer = VariationalFDS(3, Bins([0, 1, 2, 3, 4, 5, 6, 7])).double()
    for step in range(4):
        batch = make_batch(50 + step, n=sum(SIZES), d=3)
        if rank is not None:
            batch = Batch(*(torch.split(tensor, SIZES if step < 3 else [0, 23])[rank] for tensor in batch))
        layer(batch.features, batch.labels)
        if step % 2:
            layer.on_train_epoch_end()
    return dict(layer.state_dict())


def test_two_processes_with_unequal_batches_measure_what_one_does(tmp_path: Path) -> None:
    state = run_layer(None)
    assert state["means.count"].sum() == 4 * sum(SIZES)
    first, second = run_processes(run_rank, 2, tmp_path)
    torch.testing.assert_close(first, state, **TOLERANCE[torch.float64])
    assert all(torch.equal(first[name], second[name]) for name in first)
