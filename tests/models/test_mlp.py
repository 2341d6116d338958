import pytest
import torch
from torch import nn

from conr.models import MLP


def test_each_layer_is_linear_then_relu() -> None:
    encoder = MLP(3, hidden=(5, 4))
    first, second = (module for module in encoder.modules() if isinstance(module, nn.Linear))
    rows = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    expected = (rows @ first.weight.T + first.bias).clamp(min=0)
    expected = (expected @ second.weight.T + second.bias).clamp(min=0)
    assert (first.weight.shape, second.weight.shape) == ((5, 3), (4, 5))
    torch.testing.assert_close(encoder(rows), expected)


@pytest.mark.parametrize(("hidden", "features"), [((7,), 7), ((20, 30, 10), 10)])
def test_the_last_width_is_the_number_of_features(hidden: tuple[int, ...], features: int) -> None:
    encoder = MLP(4, hidden=hidden)
    assert encoder.out_features == features
    assert encoder(torch.zeros(2, 4)).shape == (2, features)


def test_dropout_acts_after_every_layer_and_only_while_training() -> None:
    torch.manual_seed(0)
    encoder = MLP(3, hidden=(200, 300), dropout=0.4)
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0)
            nn.init.constant_(module.bias, 1)
    rows = torch.zeros(50, 3)
    assert sum(isinstance(module, nn.Dropout) for module in encoder.modules()) == 2
    features = encoder(rows)  # a kept unit is 1 / (1 - 0.4)
    assert features.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert (features == 0).float().mean().item() == pytest.approx(0.4, abs=5 * (0.24 / 15_000) ** 0.5)
    assert (encoder.eval()(rows) == 1).all()


def test_without_in_features_the_first_batch_decides() -> None:
    encoder = MLP(hidden=(5, 4))
    assert (encoder.in_features, encoder.out_features) == (0, 4)
    assert encoder(torch.zeros(2, 3)).shape == (2, 4)
    assert encoder.in_features == 3
    with pytest.raises(ValueError, match=r"inputs: expected shape \(n, 3\), got \(2, 7\)"):
        encoder(torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"inputs: expected shape \(n, columns\), got \(2, 0\)"):
        MLP()(torch.zeros(2, 0))
    other = MLP(hidden=(5, 4))
    other.load_state_dict(encoder.state_dict())
    rows = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(other(rows), encoder(rows))


def test_wrong_inputs_and_settings_are_refused() -> None:
    for shape in ((3,), (2, 4), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"inputs: expected shape \(n, 3\), got"):
            MLP(3)(torch.zeros(shape))
    with pytest.raises(ValueError, match="hidden: expected at least one layer, got none"):
        MLP(3, hidden=())
    with pytest.raises(ValueError, match="hidden: expected a number of at least 1, got 0"):
        MLP(3, hidden=(4, 0))
    with pytest.raises(ValueError, match="in_features: expected a number of at least 1, got 0"):
        MLP(0)
    for dropout in (1.0, -0.1):
        with pytest.raises(ValueError, match=r"dropout: expected a number in \[0, 1\), got"):
            MLP(3, dropout=dropout)
