import math

import pytest
import torch
from tests.oracles.conr import DISTANCES

from conr.pairwise import label_distance


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_a_loop(name: str, k: int) -> None:
    if name == "angular" and k != 2:
        with pytest.raises(ValueError, match=f"got k = {k}"):
            label_distance(torch.zeros(2, k), torch.zeros(2, k), name)
        return
    generator = torch.Generator().manual_seed(k)
    first = torch.randn(5, k, generator=generator, dtype=torch.float64)
    second = torch.randn(7, k, generator=generator, dtype=torch.float64)
    expected = [[DISTANCES[name](a, b) for b in second.tolist()] for a in first.tolist()]
    torch.testing.assert_close(label_distance(first, second, name), torch.tensor(expected, dtype=torch.float64))


def test_angular_is_exact_for_tiny_equal_and_opposite_angles() -> None:
    first = torch.tensor([[0.3, 0.7]])
    second = torch.tensor([[0.3, 0.7], [0.3 + 1e-4, 0.7], [-0.3, 0.7 + math.pi]])
    distance = label_distance(first, second, "angular")[0]
    assert distance[0] == 0
    assert distance[1].item() == pytest.approx(1e-4, rel=1e-2)
    assert distance[2].item() == pytest.approx(math.pi, abs=1e-6)


def test_ties_at_an_integer_window_are_exact() -> None:
    labels = torch.arange(100.0).unsqueeze(1)
    assert (label_distance(labels, labels, "l2") <= 1).sum() == 100 + 2 * 99


def test_different_label_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="expected equal label dimensions, got 1 and 2"):
        label_distance(torch.zeros(2, 1), torch.zeros(2, 2), "l2")
