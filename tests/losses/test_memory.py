import copy
import math

import pytest
import torch
from tests.contracts.batches import make_batch
from tests.tolerances import TOLERANCE

from conr import ConRLoss, conr_loss
from conr.losses import CrossBatchMemory
from conr.pairwise import Samples


@pytest.mark.parametrize("engine", ["dense", "windowed", "blockwise"])
def test_compares_with_the_last_samples_first_in_first_out(engine: str) -> None:
    memory = CrossBatchMemory(ConRLoss(window=1.0, engine=engine), size=25)
    batches = [make_batch(seed, n=n) for seed, n in ((1, 10), (2, 10), (3, 12), (4, 40), (5, 8))]
    earlier: list[Samples] = []
    for batch in batches:
        features = batch.features.clone().requires_grad_()
        loss = memory(features, *batch[1:])
        loss.backward()
        before = [torch.cat(tensors)[-25:] for tensors in zip(*earlier, strict=True)]
        again = batch.features.clone().requires_grad_()
        expected = conr_loss(
            again, *batch[1:3], window=1.0, weights=batch.weights, candidates=Samples(*before) if before else None
        )
        expected.backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float64])
        torch.testing.assert_close(features.grad, again.grad, **TOLERANCE[torch.float64])
        earlier.append(Samples(*batch[:3]))
    assert len(memory.features) == 25


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("field", ["features", "labels", "predictions", "weights"])
def test_what_is_infinite_or_no_number_is_not_hidden(field: str, bad: float) -> None:
    """In the batch, and in what the memory keeps of it for the next one."""
    memory = CrossBatchMemory(ConRLoss(window=1.0), size=25)
    batch = make_batch(1, n=10)
    getattr(batch, field)[3] = bad
    assert memory(*batch).isnan()
    assert memory(*make_batch(2, n=10)).isnan() == (field != "weights")


def test_remembers_only_in_training_and_without_a_graph() -> None:
    memory = CrossBatchMemory(ConRLoss(window=1.0), size=10).eval()
    batch = make_batch(1, n=6)
    memory(*batch)
    assert len(memory.features) == 0
    memory.train()
    memory(batch.features.requires_grad_(), batch.labels.squeeze(1), batch.predictions.squeeze(1))
    assert memory.labels.shape == (6, 1)
    assert not memory.features.requires_grad


def test_the_state_dict_brings_the_memory_back() -> None:
    memory = CrossBatchMemory(ConRLoss(window=1.0), size=10)
    batch = make_batch(1, n=6)
    memory(*batch)
    fresh = CrossBatchMemory(ConRLoss(window=1.0), size=10)
    fresh.load_state_dict(memory.state_dict())
    twin = copy.deepcopy(memory)
    expected = memory(*batch)
    assert torch.equal(fresh(*batch), expected)
    assert torch.equal(twin(*batch), expected)
    assert expected != ConRLoss(window=1.0)(*batch)
    empty = CrossBatchMemory(ConRLoss(window=1.0), size=10).state_dict()
    fresh.load_state_dict(empty)
    assert len(fresh.features) == 0


def test_refuses_bad_arguments() -> None:
    with pytest.raises(ValueError, match="size: expected a number of at least 1, got 0"):
        CrossBatchMemory(ConRLoss(window=1.0), size=0)
    with pytest.raises(TypeError, match="regularizer: expected a ConRLoss, got Linear"):
        CrossBatchMemory(torch.nn.Linear(1, 1), size=3)  # type: ignore[arg-type]
