"""Encoder and head of the estimator as one network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from conr.methods.terms import predicted
from conr.models import TableEncoder


class TableNetwork(nn.Module):
    """Encoder and head; predictions are in standard deviations of the label.

    Args:
        encoder: rows to features of each member.
        head: features (n, d) to outputs; with a method ``point`` if these are more than predictions.
    """

    def __init__(self, encoder: TableEncoder, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width) and predictions (n,) or (n, k): means over the members."""
        return predicted(self.head, self.encoder(inputs))


def table_encoder(settings: Mapping[str, Any]) -> TableEncoder:
    """The encoder that an estimator's arguments describe, not sized yet."""
    names = ("embedding", "members", "width", "depth", "dropout")
    return TableEncoder(**{name: settings[name] for name in names})


@torch.no_grad()
def in_batches(network: TableNetwork, inputs: Tensor, size: int = 4096) -> tuple[Tensor, Tensor]:
    """Features and predictions of all rows, in evaluation mode; the mode is set back afterwards."""
    training = network.training
    network.eval()
    parts = [network(batch) for batch in torch.split(inputs, size)]
    network.train(training)
    return torch.cat([features for features, _ in parts]), torch.cat([predictions for _, predictions in parts])
