import re
from typing import Any

import pytest
import torch

from conr.models import TableEncoder


def rows() -> torch.Tensor:
    """A number, a flag, a constant, and a number that is nearly always zero."""
    source = torch.Generator().manual_seed(0)
    number = torch.randn(200, generator=source)
    return torch.stack([number, (number > 0).float(), torch.ones(200), number.clamp(min=2) - 2], dim=1)


@pytest.mark.parametrize(("embedding", "embedded"), [("piecewise", [0]), ("periodic", [0, 3]), ("none", [])], ids=str)
@pytest.mark.parametrize("members", [1, 3])
def test_columns_of_more_than_two_values_are_embedded(embedding: str, embedded: list[int], members: int) -> None:
    encoder = TableEncoder(embedding=embedding, members=members, width=8, depth=3, dropout=0.5).fit_inputs(rows())
    assert encoder.layout is not None
    assert encoder.layout.embedded == embedded
    assert sorted(encoder.layout.embedded + encoder.layout.plain) == [0, 1, 2, 3]
    assert encoder(rows()).shape == (200, members, encoder.out_features)
    again = TableEncoder(embedding=embedding, members=members, width=8, depth=3).build(encoder.layout)
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again.eval()(rows()), encoder.eval()(rows()))


@pytest.mark.parametrize("depth", [1, 3])
def test_features_and_gradients_are_those_of_the_packages_own_call(depth: int) -> None:
    encoder = TableEncoder(members=3, width=8, depth=depth).fit_inputs(rows()).double()
    for scale in (one for name, one in encoder.named_parameters() if name.endswith((".r", ".s", ".bias"))):
        torch.nn.init.normal_(scale)
    inputs = rows().double()
    assert encoder.embedding is not None
    embedded = torch.cat((encoder.embedding(inputs[:, :1]).flatten(1), inputs[:, 1:]), dim=1)
    expected = encoder.backbone(embedded.unsqueeze(1).expand(-1, 3, -1))
    found = encoder(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    parameters = list(encoder.parameters())
    slopes = torch.randn(found.shape, dtype=torch.float64)
    for one, two in zip(
        torch.autograd.grad(found, parameters, slopes), torch.autograd.grad(expected, parameters, slopes), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "piecewize"}, "did you mean 'piecewise'"),
        ({"members": 0}, "members: expected a number of at least 1"),
        ({"dropout": 1.0}, "dropout: expected a number in [0, 1), got 1.0"),
    ],
)
def test_arguments_outside_their_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TableEncoder(**settings)


def test_rows_come_before_the_first_batch() -> None:
    with pytest.raises(RuntimeError, match=r"TableEncoder: expected fit_inputs\(training rows\)"):
        TableEncoder()(rows())
    with pytest.raises(ValueError, match=re.escape("inputs: expected shape (n, columns), got (4,)")):
        TableEncoder().fit_inputs(torch.ones(4))
