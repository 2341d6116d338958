import math

import pytest
import torch
from torch import Tensor

from conr.pairwise import label_distance, sweeps
from conr.pairwise.sweeps import Blocks, Cut, Points, Sweep, box_sweep, cut, full_area, full_sweep, interval_sweep


def numbers(blocks: Blocks) -> list[int]:
    return list(range(blocks.start, blocks.stop)) if isinstance(blocks, slice) else blocks.tolist()


def visits(sweep: Sweep) -> Tensor:
    """How often each pair (row, column) lies in a tile, in the order of the samples."""
    n, m = len(sweep.rows), len(sweep.columns)
    rows, columns = -(-n // sweep.block), -(-m // sweep.block) + sweep.spare
    counts = torch.zeros(rows * sweep.block, columns * sweep.block, dtype=torch.long)
    for batch in sweep.batches:
        assert len(numbers(batch.rows)) == batch.tiles
        for row, column in zip(numbers(batch.rows), numbers(batch.columns), strict=True):
            top, left = row * sweep.block, column * sweep.block
            inside = counts[top : top + batch.height, left : left + batch.width]
            assert inside.shape == (batch.height, batch.width)
            inside += 1
            assert batch.diagonal == (sweep.own and row == column)
    ordered = torch.empty_like(counts[:n, :m])
    ordered[sweep.rows.unsqueeze(1), sweep.columns.unsqueeze(0)] = counts[:n, :m]
    return ordered


def reaching(values: Tensor, window: float) -> Points:
    """Labels as a sweep takes them: (n, k), and half of the window."""
    points = values.reshape(len(values), -1)
    return points, torch.full((len(points),), window / 2)


def above_diagonal(sweep: Sweep) -> Tensor:
    """Whether column j comes after row i in the order of a symmetric sweep."""
    place = sweep.rows.argsort()
    return place.unsqueeze(1) < place.unsqueeze(0)


CUTS = [Cut(1, 3, 2), Cut(4, 5, 3), Cut(4, 1, 1), Cut(4, 64, 64), Cut(100, 2, 2)]


@pytest.mark.parametrize("cut", CUTS)
def test_a_full_sweep_visits_every_pair_once(cut: Cut) -> None:
    device = torch.device("cpu")
    for n in (0, 1, 5, 23):
        assert (visits(full_sweep(n, 9, own=False, symmetric=False, cut=cut, device=device)) == 1).all()
        mutual = full_sweep(n, n, own=True, symmetric=True, cut=cut, device=device)
        assert mutual.area == full_area(n, n, symmetric=True, block=cut.block)
        assert (visits(mutual)[above_diagonal(mutual)] == 1).all()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("window", [0.1, 1.0, 1e6])
def test_intervals_hold_every_pair_once(cut: Cut, window: float) -> None:
    generator = torch.Generator().manual_seed(cut.block)
    values = torch.randint(0, 50, (40,), generator=generator) / 10
    others = torch.randint(0, 50, (25,), generator=generator) / 10
    pairs = (values.unsqueeze(1) - others).abs() <= window
    found = visits(
        interval_sweep(reaching(values, window), reaching(others, window), distance="l2", cut=cut, positives=True)
    )
    assert found.max() == 1
    assert (found[pairs] == 1).all()
    mutual = interval_sweep(reaching(values, window), None, distance="l2", cut=cut, positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= window) & above_diagonal(mutual)
    assert (visits(mutual)[pairs] == 1).all()


@pytest.mark.parametrize(
    ("window", "padding"), [(0.02, 0), (0.02, 10**6), (0.3, 0), (0.3, 40), (10.0, 0), (10.0, 10**6)]
)
def test_long_intervals_are_several_strips(window: float, padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "STRIP", 36)
    values = torch.rand(300, generator=torch.Generator().manual_seed(0)) ** 3
    cut = Cut(4, 60, 1, padding)
    mutual = interval_sweep(reaching(values, window), None, distance="l2", cut=cut, positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= window) & above_diagonal(mutual)
    found = visits(mutual)
    assert (found[pairs] == 1).all()
    assert found[above_diagonal(mutual)].max() == 1
    assert all(batch.tiles == 1 or batch.area <= 60 * 4**2 for batch in mutual.batches)
    assert max(batch.width for batch in mutual.batches) <= 36
    if padding == 0:  # no strip is longer than its own interval, in steps of 16
        whole = interval_sweep(reaching(values, window), None, distance="l2", cut=Cut(4, 1, 1, 0), positives=True)
        assert mutual.area == whole.area


@pytest.mark.parametrize(("distance", "k"), [("l1", 1), ("l1", 3), ("l2", 2), ("linf", 2), ("angular", 2)])
@pytest.mark.parametrize("cut", CUTS)
def test_boxes_hold_every_pair_once(distance: str, k: int, cut: Cut) -> None:
    for window in (0.3, 1.0, 4.0):
        _boxes_hold_every_pair_once(distance, k, cut, window)


def _boxes_hold_every_pair_once(distance: str, k: int, cut: Cut, window: float) -> None:
    generator = torch.Generator().manual_seed(k)
    values = torch.randint(-15, 15, (60, k), generator=generator) / 10
    others = torch.randint(-15, 15, (25, k), generator=generator) / 10
    pairs = label_distance(values, others, distance) <= window
    found = visits(
        box_sweep(reaching(values, window), reaching(others, window), distance=distance, cut=cut, positives=False)
    )
    assert found.max() == 1
    assert (found[pairs] == 1).all()
    mutual = box_sweep(reaching(values, window), None, distance=distance, cut=cut, positives=False)
    pairs = (label_distance(values, values, distance) <= window) & above_diagonal(mutual)
    assert (visits(mutual)[pairs] == 1).all()


def test_narrow_windows_leave_most_tiles_out() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2000, generator=generator)
    share = interval_sweep(reaching(values, 0.01), None, distance="l2", cut=cut(32, 1), positives=True).area / 2000**2
    assert share < 0.01 + 2 * 32 / 2000  # half of the pairs' 2 %, and two blocks more
    points = torch.rand(2000, 2, generator=generator)
    boxes = box_sweep(reaching(points, 0.02), None, distance="l2", cut=cut(16, 1), positives=True)
    assert boxes.area / 2000**2 < 0.1


def test_what_is_not_a_number_is_visited_with_everything_that_could_be_its_pair() -> None:
    values = torch.tensor([3.0, math.nan, 1.0, math.inf, 2.0, -math.inf, 2.5])
    mutual = interval_sweep(reaching(values, 0.5), None, distance="l2", cut=Cut(1, 1, 1), positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= 0.5) & above_diagonal(mutual)
    assert pairs.sum() == 2
    assert (visits(mutual)[pairs] == 1).all()
    boxes = box_sweep(reaching(values, 0.5), None, distance="l2", cut=Cut(2, 4, 4), positives=True)
    pairs = ((values.unsqueeze(1) - values).abs() <= 0.5) & above_diagonal(boxes)
    assert (visits(boxes)[pairs] == 1).all()
