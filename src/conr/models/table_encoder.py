"""The network of tables: embedded numbers, and an ensemble of small networks that share their weights."""

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_share, check_whole
from conr._extras import require

EMBEDDINGS = ("piecewise", "periodic", "none")

_EMBEDDING_SIZE = 12
_MOST_BINS = 32
_FREQUENCIES = 24
_FREQUENCY_SCALE = 0.05


class Layout(NamedTuple):
    """Places of a table's columns in the network."""

    embedded: list[int]  # positions of the columns that are embedded
    plain: list[int]  # positions of those that go in as they are
    # of the piecewise linear embeddings, one tensor per embedded column; empty for other embeddings
    edges: list[Tensor]


class TableEncoder(nn.Module):
    r"""Rows of a table to features, one set per member of the ensemble.

    Numbers are embedded (piecewise linear or periodic; Gorishniy et al., "On Embeddings for Numerical Features in
    Tabular Deep Learning", NeurIPS 2022), and the members are TabM's (Gorishniy et al., "TabM: Advancing Tabular Deep
    Learning with Parameter-Efficient Ensembling", ICLR 2025): multi-layer perceptrons that share their matrices and
    differ in scales of their inputs and outputs. With one member this is a plain multi-layer perceptron.

    Differences from TabM: the members' heads are one (`conr.models`), so that all members' features lie in one space,
    and any two members are two views of a row.

    Args:
        embedding: "piecewise", "periodic" or "none".
        members: of the ensemble.
        width: of each layer, and number of features.
        depth: number of layers.
        dropout: probability of dropping a unit, in [0, 1).

    Attributes:
        out_features: number of features of each member.
        layout: which columns are embedded; None until `fit_inputs` has seen the training rows.

    Raises:
        ValueError: an unknown embedding, a number below 1, or a dropout outside [0, 1).
        TypeError: a number that is not whole.
        ImportError: tabm or rtdl-num-embeddings is not installed.

    Example:
        >>> import torch
        >>> rows = torch.randn(100, 3)
        >>> TableEncoder(members=4, width=16).fit_inputs(rows)(rows).shape
        torch.Size([100, 4, 16])
    """

    def __init__(
        self,
        *,
        embedding: str = "piecewise",
        members: int = 4,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        require("conr.models.TableEncoder", "tabm", "rtdl_num_embeddings")
        super().__init__()
        check_choice("embedding", embedding, EMBEDDINGS)
        for name, value in (("members", members), ("width", width), ("depth", depth)):
            check_whole(name, value, low=1)
        check_share("dropout", dropout, open_high=True)
        self.members = members
        self.out_features = width
        self.layout: Layout | None = None
        self.embedding: nn.Module | None = None
        self._kind = embedding
        self._settings: dict[str, Any] = {"n_blocks": depth, "d_block": width, "dropout": dropout}

    def fit_inputs(self, inputs: Tensor) -> Self:
        """Choose the columns that are embedded, those of more than two values, and make the layers.

        Inputs are those of the training rows, shape (n, columns), finite.
        """
        import rtdl_num_embeddings  # noqa: PLC0415  optional

        if inputs.ndim != 2 or 0 in inputs.shape:
            raise ValueError(f"inputs: expected shape (n, columns), got {tuple(inputs.shape)}")
        columns = range(inputs.shape[1])
        embedded = [column for column in columns if len(torch.unique(inputs[:, column])) > 2]
        edges: list[Tensor] = []
        bins = min(_MOST_BINS, len(inputs) // 4)
        if self._kind == "none" or (self._kind == "piecewise" and bins < 2):
            embedded = []
        elif self._kind == "piecewise" and embedded:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The .* feature has just two bin edges")
                found = rtdl_num_embeddings.compute_bins(inputs[:, embedded], n_bins=bins)
            # Most values of a column may be one: its quantiles are then two, and its embedding would be the column.
            pairs = [(column, one) for column, one in zip(embedded, found, strict=True) if len(one) > 2]
            embedded, edges = [column for column, _ in pairs], [one for _, one in pairs]
        return self.build(Layout(embedded, [column for column in columns if column not in embedded], edges))

    def build(self, layout: Layout) -> Self:
        """Make the layers for columns whose places are known."""
        import tabm  # noqa: PLC0415  optional

        self.layout = layout
        self.embedding = self._embedding(layout)
        self.register_buffer("embedded", torch.tensor(layout.embedded, dtype=torch.long), persistent=False)
        self.register_buffer("plain", torch.tensor(layout.plain, dtype=torch.long), persistent=False)
        sizes = [_EMBEDDING_SIZE] * len(layout.embedded) + [1] * len(layout.plain)
        settings = {**self._settings, "d_in": sum(sizes)}
        self.backbone: nn.Module = (
            tabm.MLPBackbone(**settings)
            if self.members == 1
            else tabm.make_tabm_backbone(
                **settings,
                k=self.members,
                start_scaling_init="normal" if self.embedding is None else "random-signs",
                start_scaling_init_chunks=sizes,
            )
        )
        for block in cast("Iterable[Any]", self.backbone.blocks):
            block[1].inplace = True  # memory that is new to the process costs more than the arithmetic
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (n, members, width) of inputs (n, columns).

        Raises:
            RuntimeError: before `fit_inputs`.
        """
        if self.layout is None:
            raise RuntimeError("TableEncoder: expected fit_inputs(training rows) before the first batch")
        plain = inputs[:, cast("Tensor", self.plain)]  # (n, plain)
        if self.embedding is not None:
            embedded = self.embedding(inputs[:, cast("Tensor", self.embedded)])  # (n, embedded, size)
            plain = torch.cat((embedded.flatten(1), plain), dim=1)
        if self.members == 1:
            return cast("Tensor", self.backbone(plain)).unsqueeze(1)
        return self._of_members(plain)

    def _of_members(self, rows: Tensor) -> Tensor:
        """Features (n, members, width) of embedded rows (n, d): the numbers that the backbone's own call gives.

        That call scales the inputs and outputs of a shared matrix for each member. Here the matrix is scaled, which is
        smaller than a batch, and one product serves all members.
        """
        features = rows
        for position, (linear, *others) in enumerate(cast("Iterable[Any]", self.backbone.blocks)):
            matrix = (linear.s.unsqueeze(2) * linear.weight) * linear.r.unsqueeze(1)  # (members, width, d)
            if position == 0:  # all members see the same rows
                features = torch.addmm(linear.bias.flatten(), rows, matrix.flatten(0, 1).T)  # (n, members * width)
            else:
                features = torch.baddbmm(linear.bias.unsqueeze(1), features, matrix.mT)  # (members, n, width)
            for layer in others:
                features = layer(features)
            if position == 0:
                features = torch.unflatten(features, 1, (self.members, -1)).transpose(0, 1)  # (members, n, width)
        return features.transpose(0, 1)

    def _embedding(self, layout: Layout) -> nn.Module | None:
        import rtdl_num_embeddings  # noqa: PLC0415  optional

        if not layout.embedded:
            return None
        made: nn.Module = (
            rtdl_num_embeddings.PiecewiseLinearEmbeddings(layout.edges, _EMBEDDING_SIZE, activation=False, version="B")
            if self._kind == "piecewise"
            else rtdl_num_embeddings.PeriodicEmbeddings(
                len(layout.embedded),
                _EMBEDDING_SIZE,
                n_frequencies=_FREQUENCIES,
                frequency_init_scale=_FREQUENCY_SCALE,
                lite=False,
            )
        )
        return made
