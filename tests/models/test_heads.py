from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from conr.models import EvidentialHead, LinearHead, UVOTEHead, VIRHead


@pytest.mark.parametrize("n", [1, 4])
def test_one_output_is_a_vector_and_several_a_matrix(n: int) -> None:
    features = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    one, two = LinearHead(3), LinearHead(3, 2)
    expected = features @ one.linear.weight[0] + one.linear.bias[0]  # (n,)
    torch.testing.assert_close(one(features), expected)
    expected = features @ two.linear.weight.T + two.linear.bias  # (n, 2)
    torch.testing.assert_close(two(features), expected)


def test_wrong_inputs_and_settings_are_refused() -> None:
    for shape in ((3,), (2, 4), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"features: expected shape \(n, 3\), got"):
            LinearHead(3)(torch.zeros(shape))
    with pytest.raises(ValueError, match="in_features: expected a number of at least 1, got 0"):
        LinearHead(0)
    with pytest.raises(ValueError, match="out_features: expected a number of at least 1, got 0"):
        LinearHead(3, 0)


@pytest.mark.parametrize(
    ("head", "per_label"),
    [(partial(EvidentialHead, 3), (4,)), (partial(UVOTEHead, 3, heads=3), (3, 2)), (partial(VIRHead, 3), (3,))],
)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_heads_of_several_outputs(head: Callable[..., nn.Module], per_label: tuple[int, ...], n: int) -> None:
    features = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    one, two = head(), head(out_features=2)
    assert one(features).shape == (n, *per_label)
    assert two(features).shape == (n, 2, *per_label)
    assert one.point(one(features)).shape == (n,)  # type: ignore[operator]
    assert two.point(two(features)).shape == (n, 2)  # type: ignore[operator]
    linear = two.linear
    assert isinstance(linear, nn.Linear)
    expected = (features @ linear.weight.T + linear.bias).reshape(n, 2, *per_label)
    torch.testing.assert_close(two(features), expected)
    with pytest.raises(ValueError, match=r"features: expected shape \(n, 3\), got"):
        one(torch.zeros(2, 4))


def test_points_by_hand() -> None:
    assert EvidentialHead(3).point(torch.tensor([[7.0, 1.0, 2.0, 3.0]])).tolist() == [7]
    assert VIRHead(3).point(torch.tensor([[7.0, 1.0, 2.0]])).tolist() == [7]
    assert UVOTEHead(3).point(torch.tensor([[[7.0, 1.0], [8.0, 0.5]]])).tolist() == [8]


def test_settings_of_heads_are_checked() -> None:
    for make in (EvidentialHead, UVOTEHead, VIRHead):
        with pytest.raises(ValueError, match="in_features: expected a number of at least 1, got 0"):
            make(0)
        with pytest.raises(ValueError, match="out_features: expected a number of at least 1, got 0"):
            make(3, 0)
    with pytest.raises(ValueError, match="heads: expected a number of at least 1, got 0"):
        UVOTEHead(3, heads=0)
