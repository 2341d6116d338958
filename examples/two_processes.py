"""DistributedDataParallel: two processes with half of each batch, and ConR over the whole batch.

Run ``torchrun --nproc-per-node 2 examples/two_processes.py``. On GPUs use the backend "nccl" and move model,
density and batches to the device of the process, as always.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from conr import Bins, ConRLoss, LabelDensity
from conr.metrics import regression_metrics

HIGHEST = 90


class Network(nn.Module):
    """Gives its features beside its predictions, as ConR needs both."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, 64) and predictions (n,) of inputs (n, 16)."""
        features: Tensor = self.encoder(inputs)
        return features, self.head(features).squeeze(1)


def make_inputs(labels: Tensor) -> Tensor:
    """Noisy inputs (n, 16) that tell the labels (n,)."""
    angles = labels.unsqueeze(1) / HIGHEST * torch.arange(1, 17)
    return angles.sin() + 0.3 * torch.randn(len(labels), 16)


def few_shot_error(coefficient: float, epochs: int) -> float:
    """Train on all processes and return the test error over rare labels."""
    torch.manual_seed(0)  # the same data and the same start in every process
    labels = torch.distributions.Exponential(1 / 14).sample((2048,)).clamp(max=HIGHEST - 1).floor()
    density = LabelDensity(Bins.by_width(width=1, low=0, high=HIGHEST), scheme="sqrt_inverse").fit(labels)
    dataset = TensorDataset(make_inputs(labels), labels)
    sampler: DistributedSampler[Any] = DistributedSampler(dataset)  # each process gets its part
    loader = DataLoader(dataset, batch_size=32, sampler=sampler)
    model = DistributedDataParallel(Network())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    regularizer = ConRLoss(window=1.0, temperature=0.2, distance_scale=0.01)  # gathers the batches of all processes

    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for inputs, targets in loader:
            features, predictions = model(inputs)
            loss = (predictions - targets).abs().mean()
            loss = loss + coefficient * regularizer(features, targets, predictions, density.weights(targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    everywhere = torch.arange(float(HIGHEST)).repeat(10)
    with torch.no_grad():
        _, predictions = model.module(make_inputs(everywhere))
    return regression_metrics(predictions, everywhere, density)["mae_few"]


def main(epochs: int = 20) -> None:
    """Train without and with ConR; the first process prints."""
    dist.init_process_group("gloo")
    for name, coefficient in (("without ConR", 0.0), ("with ConR", 4.0)):
        error = few_shot_error(coefficient, epochs)
        if dist.get_rank() == 0:
            print(f"few-shot MAE {name}: {error:.2f}, on {dist.get_world_size()} processes")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
