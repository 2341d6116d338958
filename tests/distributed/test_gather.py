"""Several processes with different data and unequal batches equal one process with the joined batch."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from tests.contracts.batches import Batch, make_batch
from tests.distributed.processes import run_processes
from tests.tolerances import TOLERANCE
from torch import Tensor, nn

from conr import ConRLoss, conr_loss
from conr.losses import CrossBatchMemory
from conr.pairwise import Samples

DIMENSIONS = 4
SETTINGS: dict[str, Any] = {"window": 1.0, "temperature": 0.4, "distance_scale": 0.1}
CASES: dict[str, dict[str, Any]] = {
    "dense": {"engine": "dense"},
    "windowed": {"engine": "windowed"},
    "blockwise": {"engine": "blockwise"},
    "sum": {"engine": "auto", "reduction": "sum"},
    "reference": {"engine": "auto", "reference": True},
}
SIZES = {2: [9, 14], 3: [8, 0, 15]}


def inputs(world: int, step: int = 0) -> Batch:
    """The joined batch of all processes, with inputs of the encoder as features."""
    return make_batch(20 + step, n=sum(SIZES[world]), d=DIMENSIONS)


def encoder() -> nn.Linear:
    layer = nn.Linear(DIMENSIONS, 6, dtype=torch.float64)
    for index, parameter in enumerate(layer.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(index))
    return layer


def replica(world: int) -> nn.Module:
    """Averages gradients over processes: two of them by torch's own class, which takes long to load, others by hand."""
    return nn.parallel.DistributedDataParallel(encoder()) if world == 2 else encoder()


def step(model: nn.Module, regularizer: nn.Module, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of one training step."""
    model.zero_grad()
    loss = regularizer(model(batch.features), batch.labels, batch.predictions, batch.weights)
    loss.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    if dist.is_initialized() and not isinstance(model, nn.parallel.DistributedDataParallel):
        for gradient in gradients:
            dist.all_reduce(gradient)
            gradient.div_(dist.get_world_size())
    return loss.detach(), gradients


def part_of(rank: int, sizes: list[int], batch: Batch) -> Batch:
    return Batch(*(torch.split(tensor, sizes)[rank] for tensor in batch))


def run_rank(rank: int, *, world: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    mine = part_of(rank, SIZES[world], inputs(world))
    for name, options in CASES.items():
        found[name] = step(replica(world), ConRLoss(**SETTINGS, **options), mine)
    found["off"] = ConRLoss(**SETTINGS, gather="off")(*mine)
    found["none"] = conr_loss(mine.features, *mine[1:3], **SETTINGS, weights=mine.weights, reduction="none")

    memory, model = CrossBatchMemory(ConRLoss(**SETTINGS), size=30), replica(world)
    batches = [part_of(rank, SIZES[world], inputs(world, number)) for number in range(3)]
    found["memory"] = [step(model, memory, batch) for batch in batches]
    found["remembered"] = memory.state_dict()

    nothing = torch.zeros(0, DIMENSIONS, requires_grad=True)
    empty = conr_loss(nothing, torch.zeros(0), torch.zeros(0), window=1.0)
    empty.backward()  # type: ignore[no-untyped-call]
    found["empty"] = empty.detach()
    other = torch.float64 if rank else torch.float32
    found["refused"] = []
    for features, labels in (
        (torch.zeros(2, 3 + rank), torch.zeros(2)),
        (torch.zeros(2, 3, dtype=other), torch.zeros(2)),
        (torch.zeros(2, 3), torch.zeros(2, dtype=other)),
    ):
        with pytest.raises(ValueError, match="gather") as caught:
            conr_loss(features, labels, labels, window=1.0)
        found["refused"].append(str(caught.value))
    assert dist.get_world_size() == world
    return found


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_equal_one_process(world: int, tmp_path: Path) -> None:
    found = run_processes(partial(run_rank, world=world), world, tmp_path)
    joined = inputs(world)

    def assert_equal(actual: list[tuple[Tensor, list[Tensor]]], expected: tuple[Tensor, list[Tensor]]) -> None:
        losses, gradients = zip(*actual, strict=True)
        torch.testing.assert_close(torch.stack(losses).mean(), expected[0], **TOLERANCE[torch.float64])
        for rank_gradients in gradients:
            torch.testing.assert_close(rank_gradients, expected[1], **TOLERANCE[torch.float64])

    for name, options in CASES.items():
        expected = step(encoder(), ConRLoss(**SETTINGS, **options), joined)
        assert expected[0] != 0
        assert_equal([rank[name] for rank in found], expected)

    memory, model = CrossBatchMemory(ConRLoss(**SETTINGS), size=30), encoder()
    for number in range(3):
        assert_equal([rank["memory"][number] for rank in found], step(model, memory, inputs(world, number)))
    for rank in found:
        torch.testing.assert_close(rank["remembered"], dict(memory.state_dict()), **TOLERANCE[torch.float64])

    terms = conr_loss(joined.features, *joined[1:3], **SETTINGS, weights=joined.weights, reduction="none")
    torch.testing.assert_close(torch.cat([rank["none"] for rank in found]), terms, **TOLERANCE[torch.float64])
    for number, rank in enumerate(found):
        alone = ConRLoss(**SETTINGS)(*part_of(number, SIZES[world], joined))
        torch.testing.assert_close(rank["off"], alone, **TOLERANCE[torch.float64])
        assert rank["empty"] == 0
        start = "gather: expected equal feature and label dimensions and dtypes on all processes, got "
        assert all(message.startswith(start) for message in rank["refused"])
        assert len(set(rank["refused"])) == 3


def test_one_process_gathers_nothing() -> None:
    batch = make_batch(3, n=12)
    arguments: dict[str, Any] = {**SETTINGS, "candidates": Samples(*make_batch(4, n=5)[:3])}
    assert torch.equal(conr_loss(*batch[:3], **arguments), conr_loss(*batch[:3], **arguments, gather="off"))
    with pytest.raises(ValueError, match="gather: expected one of 'auto', 'off', got 'on'"):
        conr_loss(*batch[:3], **arguments, gather="on")
