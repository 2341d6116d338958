import pytest
import torch
from torch import nn

from conr.estimators.network import Layout, TableEncoder, _Dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropout_drops_a_share_and_scales_the_rest(probability: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    inputs = torch.full((501, 1001), 3.0, dtype=dtype, requires_grad=True)
    outputs = _Dropout(probability)(inputs)
    dropped = outputs == 0
    assert float(dropped.double().mean()) == pytest.approx(probability, abs=3e-3)
    assert outputs[~dropped].detach().numpy() == pytest.approx(3 / (1 - probability), rel=1e-3)
    assert outputs.dtype == dtype
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    assert torch.equal(gradient == 0, dropped)


def test_dropout_draws_each_unit_on_its_own() -> None:
    torch.manual_seed(0)
    dropped = (_Dropout(0.5)(torch.ones(200_000)) == 0).double()  # four neighbours share a random number
    for lag in range(1, 9):
        together = float((dropped[lag:] * dropped[:-lag]).mean())
        assert together == pytest.approx(0.25, abs=5e-3), lag


def test_dropout_follows_the_seed_and_rests_in_evaluation() -> None:
    layer, inputs = _Dropout(0.3), torch.ones(7, 11, 13)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(layer(inputs))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert layer.eval()(inputs) is inputs
    assert _Dropout(0.0)(inputs) is inputs


@pytest.mark.parametrize("probability", [1e-9, 1 - 1e-9])
def test_extreme_dropout_stays_finite(probability: float) -> None:
    assert _Dropout(probability)(torch.ones(1000)).isfinite().all()


@pytest.mark.parametrize("members", [1, 4])
def test_all_dropout_of_an_encoder_is_the_fast_one(members: int) -> None:
    layout = Layout(embedded=[], plain=[0, 1], edges=[])
    encoder = TableEncoder(layout, embedding="none", members=members, width=8, depth=3, dropout=0.2)
    kinds = [type(part) for part in encoder.modules() if isinstance(part, nn.Dropout)]
    assert kinds == [_Dropout] * 3
