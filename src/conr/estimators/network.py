"""The network of the estimator: embedded numbers, an ensemble of small networks that share their weights, one head."""

import warnings
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr._extras import require

require("conr.estimators", "tabm", "rtdl_num_embeddings")

import rtdl_num_embeddings  # noqa: E402  the check comes first
import tabm  # noqa: E402

EMBEDDINGS = ("piecewise", "periodic", "none")

_EMBEDDING_SIZE = 12
_MOST_BINS = 32
_FREQUENCIES = 24
_FREQUENCY_SCALE = 0.05


class Layout(NamedTuple):
    """Which columns of the inputs are embedded, by position, and which go in as they are; edges per embedded column."""

    embedded: list[int]
    plain: list[int]
    edges: list[Tensor]


def input_layout(inputs: Tensor, *, numbers: int, embedding: str) -> Layout:
    """Choose the columns that are embedded: numbers with more than two values.

    Args:
        inputs: of the training rows, shape (n, columns), numbers first.
        numbers: how many columns are numbers.
        embedding: "piecewise" (needs edges), "periodic" or "none".

    Raises:
        ValueError: an unknown embedding.
    """
    check_choice("embedding", embedding, EMBEDDINGS)
    embedded = [column for column in range(numbers) if len(torch.unique(inputs[:, column])) > 2]
    edges: list[Tensor] = []
    bins = min(_MOST_BINS, len(inputs) // 4)
    if embedding == "none" or (embedding == "piecewise" and bins < 2):
        embedded = []
    elif embedding == "piecewise" and embedded:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The .* feature has just two bin edges")
            found = rtdl_num_embeddings.compute_bins(inputs[:, embedded], n_bins=bins)
        # Most values of a column may be one: its quantiles are then two, and an embedding would be the column itself.
        pairs = [(column, one) for column, one in zip(embedded, found, strict=True) if len(one) > 2]
        embedded, edges = [column for column, _ in pairs], [one for _, one in pairs]
    return Layout(embedded, [column for column in range(inputs.shape[1]) if column not in embedded], edges)


class TableEncoder(nn.Module):
    r"""Rows of a table to features, one set per member of the ensemble.

    Numbers are embedded (piecewise linear or periodic; Gorishniy et al., "On Embeddings for Numerical Features in
    Tabular Deep Learning", NeurIPS 2022), and the members are TabM's (Gorishniy et al., "TabM: Advancing Tabular Deep
    Learning with Parameter-Efficient Ensembling", ICLR 2025): multi-layer perceptrons that share their matrices and
    differ in scales of their inputs and outputs. With one member this is a plain multi-layer perceptron.

    Differences from TabM: the members' heads are one (`conr.models`), so that all members' features lie in one space,
    and any two members are two views of a row.

    Args:
        layout: see `input_layout`.
        embedding: "piecewise", "periodic" or "none".
        members: of the ensemble.
        width: of each layer, and number of features.
        depth: number of layers.
        dropout: probability of dropping a unit, in [0, 1).

    Raises:
        ValueError: an unknown embedding, a number below 1, or a dropout outside [0, 1).
    """

    def __init__(self, layout: Layout, *, embedding: str, members: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        check_choice("embedding", embedding, EMBEDDINGS)
        for name, value in (("members", members), ("width", width), ("depth", depth)):
            check_number(name, value, low=1)
        check_number("dropout", dropout, low=0)
        if dropout >= 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {dropout}")
        self.members = members
        self.out_features = width
        self.embedding = _embedding(layout, embedding)
        self.register_buffer("embedded", torch.tensor(layout.embedded, dtype=torch.long), persistent=False)
        self.register_buffer("plain", torch.tensor(layout.plain, dtype=torch.long), persistent=False)
        sizes = [_EMBEDDING_SIZE] * len(layout.embedded) + [1] * len(layout.plain)
        settings: dict[str, Any] = {"d_in": sum(sizes), "n_blocks": depth, "d_block": width, "dropout": dropout}
        self.backbone: nn.Module = (
            tabm.MLPBackbone(**settings)
            if members == 1
            else tabm.make_tabm_backbone(
                **settings,
                k=members,
                start_scaling_init="normal" if self.embedding is None else "random-signs",
                start_scaling_init_chunks=sizes,
            )
        )
        _replace_dropout(self.backbone)

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, members, width) of inputs (n, columns)."""
        plain = inputs[:, cast("Tensor", self.plain)]  # (n, plain)
        if self.embedding is not None:
            embedded = self.embedding(inputs[:, cast("Tensor", self.embedded)])  # (n, embedded, size)
            plain = torch.cat((embedded.flatten(1), plain), dim=1)
        if self.members == 1:
            return cast("Tensor", self.backbone(plain)).unsqueeze(1)
        return cast("Tensor", self.backbone(plain.unsqueeze(1).expand(-1, self.members, -1)))


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

    def point(self, outputs: Tensor) -> Tensor:
        """Predictions of what the head returns, shape (n,) or (n, k)."""
        point = getattr(self.head, "point", None)
        return outputs if point is None else cast("Tensor", point(outputs))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width) and predictions (n,) or (n, k): means over the members."""
        features = self.encoder(inputs)  # (n, members, width)
        predictions = self.point(self.head(features.flatten(0, 1)))  # (n * members,) or (n * members, k)
        return features.mean(dim=1), torch.unflatten(predictions, 0, (len(inputs), -1)).mean(dim=1)


@torch.no_grad()
def in_batches(network: TableNetwork, inputs: Tensor, size: int = 4096) -> tuple[Tensor, Tensor]:
    """Features and predictions of all rows, in evaluation mode; the mode is set back afterwards."""
    training = network.training
    network.eval()
    parts = [network(batch) for batch in torch.split(inputs, size)]
    network.train(training)
    return torch.cat([features for features, _ in parts]), torch.cat([predictions for _, predictions in parts])


class _Dropout(nn.Dropout):
    """`torch.nn.Dropout`, whose draws take a tenth of the time on the CPU: four units share a random number."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        size = input.numel()
        dropped = min(round(self.p * 2**16), 2**16 - 1)  # of the values of 16 bits
        bits = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:size]
        # Integers from -2^15: the lowest ones become 0, all others 1. A comparison would cost as much as the draw.
        kept = bits.to(input.dtype).add_(2**15 - dropped + 1).clamp_(0, 1)
        return input * kept.mul_(2**16 / (2**16 - dropped)).view_as(input)


def _replace_dropout(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, _Dropout(child.p))
        else:
            _replace_dropout(child)


def _embedding(layout: Layout, embedding: str) -> nn.Module | None:
    if not layout.embedded:
        return None
    made: nn.Module
    if embedding == "piecewise":
        made = rtdl_num_embeddings.PiecewiseLinearEmbeddings(
            layout.edges, _EMBEDDING_SIZE, activation=False, version="B"
        )
    else:
        made = rtdl_num_embeddings.PeriodicEmbeddings(
            len(layout.embedded),
            _EMBEDDING_SIZE,
            n_frequencies=_FREQUENCIES,
            frequency_init_scale=_FREQUENCY_SCALE,
            lite=False,
        )
    return made
