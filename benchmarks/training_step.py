"""Time of a training step with and without ConR: ``python -m benchmarks.training_step``, some minutes of one core.

A step is forward, loss, backward and optimizer on random images: one view of a batch, two views of it, two views with
ConR, and two views of half the batch with ConR, which costs the network as much as one view of the whole batch. The
loss itself is also timed alone, on features of the same shape. One thread, and the processor's time, so that other
programs on the machine disturb little.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timing import environment, write_results
from conr import conr_loss
from conr.models import LinearHead, SmallCNN, SmallResNet, TimmEncoder

BATCH = 64
WINDOW = 1.0
SHAPES = {"SmallCNN": (1, 28, 28), "SmallResNet": (3, 32, 32), "ResNet-18": (3, 64, 64)}


class Kind(NamedTuple):
    """What a step does."""

    inputs: int
    views: int
    conr: bool


KINDS = {
    "vanilla": Kind(BATCH, 1, conr=False),
    "vanilla, two views": Kind(BATCH, 2, conr=False),
    "ConR, two views": Kind(BATCH, 2, conr=True),
    "ConR, two views of half the batch": Kind(BATCH // 2, 2, conr=True),
}


Encoder = SmallCNN | SmallResNet | TimmEncoder


class Parts(NamedTuple):
    """A network and its optimizer."""

    encoder: Encoder
    head: LinearHead
    optimizer: torch.optim.Optimizer


def parts(network: str) -> Parts:
    """A network with random weights."""
    torch.manual_seed(0)
    encoder: Encoder
    if network == "SmallCNN":
        encoder = SmallCNN()
    elif network == "SmallResNet":
        encoder = SmallResNet(channels=[16, 32, 64])
    else:
        encoder = TimmEncoder("resnet18")
    head = LinearHead(encoder.out_features)
    return Parts(encoder, head, torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-4))


def labels_and_predictions(n: int) -> tuple[Tensor, Tensor]:
    """Ages, and predictions that are some years off."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 100, (n,), generator=generator).float()
    return labels, labels + 8 * torch.randn(n, generator=generator)


def loss(features: Tensor, labels: Tensor, predictions: Tensor) -> Tensor:
    """ConR as for ages, with weights."""
    weights = 0.5 + labels / 100
    return conr_loss(features, labels, predictions, window=WINDOW, weights=weights)


def step(made: Parts, images: Tensor, labels: Tensor, *, conr: bool) -> None:
    """One training step."""
    features = made.encoder(images)
    predictions = made.head(features)
    total = nn.functional.l1_loss(predictions, labels)
    if conr:
        total = total + loss(features, labels, predictions)
    made.optimizer.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    made.optimizer.step()


def loss_alone(n: int, d: int) -> Callable[[], None]:
    """Forward and backward of ConR, with predictions as they are in training."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(n, d, generator=generator).requires_grad_()
    labels, predictions = labels_and_predictions(n)
    return lambda: loss(features, labels, predictions).backward()  # type: ignore[no-untyped-call]


def processor_ms(forms: Mapping[str, Callable[[], None]], runs: int) -> dict[str, float]:
    """Median milliseconds of processor time, the forms in turn, after one run of each that does not count."""
    spans: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(runs + 1):
        for name, form in forms.items():
            start = time.process_time()
            form()
            spans[name].append(1e3 * (time.process_time() - start))
    return {name: float(np.median(values[1:])) for name, values in spans.items()}


def measure(network: str, runs: int) -> dict[str, Any]:
    """One case of the result file."""
    made, steps = parts(network), {}
    for name, kind in KINDS.items():
        n = kind.inputs * kind.views
        images = torch.randn(n, *SHAPES[network], generator=torch.Generator().manual_seed(1))
        steps[name] = partial(step, made, images, labels_and_predictions(n)[0], conr=kind.conr)
    found = processor_ms(steps, runs)
    alone = processor_ms({"loss": loss_alone(2 * BATCH, made.encoder.out_features)}, max(runs, 30))
    return {
        "network": network,
        "image": SHAPES[network],
        "batch": BATCH,
        "features": made.encoder.out_features,
        "runs": runs,
        "cpu_ms": found,
        "loss_cpu_ms": alone["loss"],
    }


def main() -> None:
    """Measure all networks and write ``benchmarks/results/training_step.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="timed steps of each kind")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    ran_on, cases = environment(), []
    for network in SHAPES:
        case = measure(network, chosen.runs)
        cases.append(case)
        share = case["loss_cpu_ms"] / case["cpu_ms"]["ConR, two views"]
        print(
            network, {name: round(value, 1) for name, value in case["cpu_ms"].items()}, f"loss {share:.1%}", flush=True
        )
        print(write_results("training_step", cases, ran_on=ran_on))


if __name__ == "__main__":
    main()
