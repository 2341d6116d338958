import pytest
import torch

from conr.models import LinearHead


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
