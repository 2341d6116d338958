"""Which tiles the Triton engine visits: all that hold pairs, and few others."""

import pytest
import torch
from torch import Tensor

from conr.pairwise import DISTANCES, Rule, Samples, triton_tiles
from conr.pairwise.triton_tiles import Side, Walk, side, walk

ROWS, COLUMNS = 16, 8


def visited(found: Walk, rows: Side, columns: Side) -> Tensor:
    """Which pairs of samples the kernels would look at, (n, m) by place in the batch, as they look up their tiles."""
    mask = torch.zeros(rows.n, columns.n, dtype=torch.long)
    for block, (first, last) in enumerate(zip(found.firsts.tolist(), found.lasts.tolist(), strict=True)):
        row = rows.order[block * ROWS : (block + 1) * ROWS].long()
        for index in range(first, last):
            tile = index
            if found.near is not None:
                tile = int(found.near[block, index // found.span]) * found.span + index % found.span
            column = columns.order[tile * COLUMNS : (tile + 1) * COLUMNS].long()
            mask[row.unsqueeze(1), column] += 1
    return mask


def samples(n: int, k: int, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    labels, predictions = (3 * torch.rand(n, k, generator=generator) for _ in range(2))
    return Samples(torch.zeros(n, 1), labels, predictions)


@pytest.mark.parametrize("spans", [1024, 5])
@pytest.mark.parametrize(
    ("k", "distance", "positives"),
    [
        (1, "l2", True),
        (1, "l2", False),
        (2, "l1", True),
        (2, "l2", False),
        (2, "linf", True),
        (3, "l2", False),
        (2, "angular", True),
        (40, "linf", False),
    ],
)
def test_every_pair_is_visited_once_and_far_tiles_never(
    monkeypatch: pytest.MonkeyPatch, k: int, distance: str, spans: int, *, positives: bool
) -> None:
    monkeypatch.setattr(triton_tiles, "MAX_SPANS", spans)
    rule = Rule(0.2, distance, 0.1, "exp", 0.1)
    batch, others = samples(203, k, 0), samples(150, k, 1)
    for candidates in (batch, others):
        rows, columns = (side(rule.prepare(part), rule, positives=positives) for part in (batch, candidates))
        found = walk(rows, columns, block_rows=ROWS, block_columns=COLUMNS)
        seen = visited(found, rows, columns)
        assert seen.max() == 1
        keys = [part.labels if positives else part.predictions for part in (batch, candidates)]
        pairs = DISTANCES[distance](*keys) <= rule.window
        assert seen[pairs].all()
        if k == 1 or (k == 2 and spans == 1024):
            assert pairs.double().mean() < seen.double().mean() < 0.7


@pytest.mark.parametrize("k", [1, 2])
def test_equal_and_odd_values_break_nothing(k: int) -> None:
    rule = Rule(0.2, "l2", 0.1, "exp", 0.1)
    for values in (torch.zeros(50, k), torch.full((50, k), torch.nan), torch.full((50, k), torch.inf)):
        values[0] = 0
        found = side(rule.prepare(Samples(torch.zeros(50, 1), values, values)), rule, positives=True)
        seen = visited(walk(found, found, block_rows=ROWS, block_columns=COLUMNS), found, found)
        assert seen.max() <= 1
        assert seen[0, 0] == 1
