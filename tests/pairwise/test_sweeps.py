import math

import pytest
import torch
from torch import Tensor

from conr.pairwise import label_distance
from conr.pairwise.sweeps import Sweep, box_sweep, full_sweep, interval_sweep


def visits(sweep: Sweep) -> Tensor:
    """How often each pair (row, column) lies in a tile, in the order of the samples."""
    counts = torch.zeros(len(sweep.rows), len(sweep.columns), dtype=torch.long)
    for tile in sweep.tiles:
        counts[tile.top : tile.bottom, tile.left : tile.right] += 1
    ordered = torch.empty_like(counts)
    ordered[sweep.rows.unsqueeze(1), sweep.columns.unsqueeze(0)] = counts
    return ordered


def above_diagonal(sweep: Sweep) -> Tensor:
    """Whether column j comes after row i in the order of a mutual sweep."""
    place = sweep.rows.argsort()
    return place.unsqueeze(1) < place.unsqueeze(0)


@pytest.mark.parametrize("n", [0, 1, 5, 23])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_a_full_sweep_visits_every_pair_once(n: int, block: int) -> None:
    device = torch.device("cpu")
    assert (visits(full_sweep(n, 9, own=False, mutual=False, block=block, device=device)) == 1).all()
    mutual = full_sweep(n, n, own=True, mutual=True, block=block, device=device)
    assert (visits(mutual)[above_diagonal(mutual)] == 1).all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("window", [0.1, 1.0, 1e6])
def test_intervals_hold_every_pair_once(seed: int, block: int, window: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 50, (40,), generator=generator) / 10
    others = torch.randint(0, 50, (25,), generator=generator) / 10
    pairs = (values.unsqueeze(1) - others).abs() <= window
    found = visits(interval_sweep(values, others, window=window, block=block, positives=True))
    assert found.max() == 1
    assert (found[pairs] == 1).all()
    mutual = interval_sweep(values, None, window=window, block=block, positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= window) & above_diagonal(mutual)
    assert (visits(mutual)[pairs] == 1).all()


@pytest.mark.parametrize(("distance", "k"), [("l1", 1), ("l1", 3), ("l2", 2), ("linf", 2), ("angular", 2)])
@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize("window", [0.3, 1.0, 4.0])
def test_boxes_hold_every_pair_once(distance: str, k: int, block: int, window: float) -> None:
    generator = torch.Generator().manual_seed(k)
    values = torch.randint(-15, 15, (60, k), generator=generator) / 10
    others = torch.randint(-15, 15, (25, k), generator=generator) / 10
    pairs = label_distance(values, others, distance) <= window
    found = visits(box_sweep(values, others, window=window, distance=distance, block=block, positives=False))
    assert found.max() == 1
    assert (found[pairs] == 1).all()
    mutual = box_sweep(values, None, window=window, distance=distance, block=block, positives=False)
    pairs = (label_distance(values, values, distance) <= window) & above_diagonal(mutual)
    assert (visits(mutual)[pairs] == 1).all()


def test_narrow_windows_leave_most_tiles_out() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2000, generator=generator)
    share = interval_sweep(values, None, window=0.01, block=32, positives=True).area / 2000**2
    assert share < 0.01 + 34 / 2000  # half of the pairs' 2 %, and a block more
    points = torch.rand(2000, 2, generator=generator)
    boxes = box_sweep(points, None, window=0.02, distance="l2", block=16, positives=True)
    assert boxes.area / 2000**2 < 0.1


def test_what_is_not_a_number_is_visited_with_everything_that_could_be_its_pair() -> None:
    values = torch.tensor([3.0, math.nan, 1.0, math.inf, 2.0, -math.inf, 2.5])
    mutual = interval_sweep(values, None, window=0.5, block=1, positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= 0.5) & above_diagonal(mutual)
    assert pairs.sum() == 2
    assert (visits(mutual)[pairs] == 1).all()
    points = values.unsqueeze(1)
    boxes = box_sweep(points, None, window=0.5, distance="l2", block=2, positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= 0.5) & above_diagonal(boxes)
    assert (visits(boxes)[pairs] == 1).all()
