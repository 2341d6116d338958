r"""SRL: the centroids of all labels trace one even curve over the sphere of features (Dong et al., CVPR 2025)."""

import math
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from conr._auto import AUTO, Auto, given, number
from conr._checks import check_number
from conr._tensor_checks import check_device
from conr._torch import product
from conr.density import Bins
from conr.density.bins import inner_edges
from conr.losses._common import FeatureLoss, check_settings, checked_features, no_terms, nothing
from conr.pairwise import unit_vectors

_SIZES = ("num_features", "low", "high", "bin_width")


def srl_loss(
    features: Tensor,
    labels: Tensor,
    *,
    edges: Tensor,
    surrogate: Tensor,
    points: Tensor,
    envelope: float = 0.1,
    homogeneity: float = 0.1,
    contrast: float = 1.0,
    temperature: float = 0.1,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Spread the centroids of the label bins over the sphere, in even steps, and pull samples to their centroid.

    $$L = \lambda_e L_{env} + \lambda_h L_{homo} + \lambda_c L_{con}$$

    $$L_{env} = 1 - \frac{1}{N} \sum_n \max_k \langle u_n, c_k \rangle, \qquad
      L_{homo} = \sum_k \frac{\lVert c_{k+1} - c_k \rVert^2}{y_{k+1} - y_k}, \qquad
      L_{con} = -\frac{1}{n} \sum_i w_i \log \frac{e^{\langle v_i, c_{b(i)} \rangle / T}}
      {\sum_k e^{\langle v_i, c_k \rangle / T}}$$

    $v_i = z_i / \lVert z_i \rVert$. The centroid $c_k$ is the normalised mean of $v_i$ over the samples of the batch in
    bin k; a bin that the batch lacks is filled in by its surrogate, the centroid that memory holds of earlier epochs.
    In $L_{con}$ centroids are constants. A bin without samples and without surrogate is left out, and its neighbours
    follow each other.

    Symbols: $z$ features, $y_k$ the middle of bin k, $b(i)$ bin of label i, $u_n$ points drawn from the sphere, $w$
    weights, $\lambda_e$ envelope, $\lambda_h$ homogeneity, $\lambda_c$ contrast, $T$ temperature. Source: "Improve
    Representation for Imbalanced Regression through Geometric Constraints" (surrogate-driven representation learning),
    CVPR 2025.

    Differences from the paper and from the authors' code:

    - The direction of homogeneity is the paper's: neighbours are pulled together. The released code for IMDB-WIKI and
      STS-B has the opposite sign, and a variance of cosines in place of the squared distances.
    - Bins that never had a sample are left out; the released code's running means start at zero.
    - Labels are binned by edges; the released code truncates continuous labels to whole numbers.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,) or (n, 1), in label units. Labels outside the edges belong to the first or last bin.
        edges: shape (bins + 1,), increasing: edges of the bins $[e_k, e_{k+1})$.
        surrogate: shape (bins, d): unit vectors, or zeros for bins without one.
        points: shape (N, d): unit vectors $u_n$.
        envelope: $\lambda_e$, at least 0.
        homogeneity: $\lambda_h$, at least 0, in label units.
        contrast: $\lambda_c$, at least 0.
        temperature: $T$, positive; smaller is harder.
        weights: factor of each sample's term of $L_{con}$, shape (n,); 1 if None. The other terms are of bins.

    Returns:
        A scalar, float32, or float64 for float64 features. With a surrogate of zeros only (the first epoch, in which
        the paper trains without this loss), or without samples, 0, with a graph.

    Raises:
        ValueError: wrong shapes, lengths or devices; labels with several dimensions, which have no order; a negative
            coefficient; temperature not positive.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        (n + N) K d time for K bins, (n + N) K memory. Surrogate and points are constants.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> labels, edges = torch.tensor([0.5, 0.6, 2.5]), torch.tensor([0.0, 1.0, 2.0, 3.0])
        >>> surrogate = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> srl_loss(features, labels, edges=edges, surrogate=surrogate, points=-surrogate)
        tensor(0.5207)
    """
    check_settings(envelope=envelope, homogeneity=homogeneity, contrast=contrast, temperature=temperature)
    features, labels, weights = checked_features(features, labels, weights)
    _check_tables(features, labels, edges, surrogate, points)
    if len(features) == 0:
        return no_terms(features).sum()
    dtype = features.dtype
    surrogate, points = surrogate.detach().to(dtype), points.detach().to(dtype)  # (K, d), (N, d)
    remembered = surrogate.any(dim=1)  # (K,)
    bins = _bins(labels, edges)  # (n,)
    numbers = torch.arange(len(surrogate), device=features.device)  # (K,)
    members = (numbers.unsqueeze(1) == bins).to(dtype)  # (K, n)
    unit = unit_vectors(features)  # (n, d)
    present = members.any(dim=1)  # (K,)
    centroids = torch.where(present.unsqueeze(1), unit_vectors(product(members, unit)), surrogate)  # (K, d)
    known = present | remembered  # (K,); NOTE[DIFF]: what is not known takes no part, instead of being 0

    nearest = product(points, centroids.T).masked_fill(~known, -math.inf).amax(dim=1)  # (N,)
    enveloping = 1 - nearest.mean()
    evenness = _evenness(centroids, known, edges.to(dtype))
    logits = product(unit, centroids.detach().T).masked_fill(~known, -math.inf) / temperature  # (n, K)
    own = logits.gather(1, bins.unsqueeze(1)).squeeze(1)  # (n,)
    contrasting = ((logits.logsumexp(dim=1) - own) * weights).mean()
    total = envelope * enveloping + homogeneity * evenness + contrast * contrasting
    return torch.where(remembered.any(), total, 0) + nothing(features, features, labels, weights)


def _bins(labels: Tensor, edges: Tensor) -> Tensor:
    # NOTE[DIFF]: by edges; the released code truncates labels to whole numbers.
    inner = inner_edges(edges, labels.dtype, edges.dtype).contiguous()  # (K - 1,)
    return torch.bucketize(labels.squeeze(1).to(edges.dtype).contiguous(), inner, right=True)  # (n,)


def _evenness(centroids: Tensor, known: Tensor, edges: Tensor) -> Tensor:
    # NOTE[DIFF]: pulls neighbours together, as in the paper; the released code pushes them apart on two datasets.
    count = len(centroids)
    numbers = torch.arange(count, device=centroids.device)  # (K,)
    known_from_here = torch.where(known, numbers, count).flip(0).cummin(dim=0).values.flip(0)  # (K,); the first k' >= k
    following = torch.cat((known_from_here[1:], known_from_here.new_full((1,), count)))  # (K,); the first k' > k
    is_step = known & (following < count)  # (K,)
    following = following.clamp(max=count - 1)  # (K,)
    middles = (edges[:-1] + edges[1:]) / 2  # (K,)
    gaps = torch.where(is_step, middles[following] - middles, 1)  # (K,)
    squared = (centroids[following] - centroids).square().sum(dim=1)  # (K,)
    return torch.where(is_step, squared / gaps, 0).sum()


def _check_tables(features: Tensor, labels: Tensor, edges: Tensor, surrogate: Tensor, points: Tensor) -> None:
    if labels.shape[1] != 1:
        raise ValueError(
            f"labels: expected one dimension, whose bins have an order, got shape {tuple(labels.shape)}; "
            "SRL is not defined for several"
        )
    if edges.ndim != 1 or len(edges) < 2:
        raise ValueError(f"edges: expected shape (bins + 1,) with at least one bin, got {tuple(edges.shape)}")
    size = features.shape[1]
    if surrogate.shape != (len(edges) - 1, size):
        raise ValueError(f"surrogate: expected shape ({len(edges) - 1}, {size}), got {tuple(surrogate.shape)}")
    if points.ndim != 2 or points.shape[1] != size or len(points) == 0:
        raise ValueError(f"points: expected shape (N, {size}) with N of at least 1, got {tuple(points.shape)}")
    for name, table in (("edges", edges), ("surrogate", surrogate), ("points", points)):
        check_device(name, table, features.device)


class SRLLoss(FeatureLoss):
    r"""SRL with its memory: the surrogate centroids of earlier epochs; `srl_loss` has the equation.

    In training mode every batch also goes into the centroids $\hat S$ of the running epoch. `on_train_epoch_end`, which
    `conr.training.RegressionModule` calls, moves the memory towards them: $S \leftarrow \alpha S + (1 - \alpha) \hat S$
    and normalised; a bin seen for the first time takes its new centroid as it is. Until the first call the loss is 0.

    Args:
        num_features: d of the features; it and the next three may be "auto": as encoder, training labels and their bins
            have it, when training starts (`conr.methods.resolve`).
        low: lower end of the labels, in label units.
        high: upper end; labels outside belong to the first or last bin.
        bin_width: width of a bin, in label units.
        envelope: as for `srl_loss`.
        homogeneity: as for `srl_loss`.
        contrast: as for `srl_loss`.
        temperature: as for `srl_loss`.
        num_points: N, points on the sphere; drawn once, by torch's generator.
        momentum: $\alpha$, how much of the memory stays, in [0, 1).

    Raises:
        ValueError: no feature, no point, high not above low, a momentum outside [0, 1), or as `srl_loss`.

    Notes:
        All state is in buffers and in the state_dict, that of the running epoch too: a resumed run goes on as the
        killed one would have. Under `torch.distributed`, every rank adds the batches of all ranks, so that the memory
        is the same everywhere; centroids of a batch are those of the rank. Keep the module in float32: in a model that
        is bfloat16 as a whole, the sums of an epoch would stop growing.

    Example:
        >>> import torch
        >>> regularizer = SRLLoss(2, low=0, high=3, bin_width=1, num_points=4)
        >>> features, labels = torch.eye(2, requires_grad=True), torch.tensor([0.5, 2.5])
        >>> regularizer(features, labels)
        tensor(0., grad_fn=<AddBackward0>)
        >>> regularizer.on_train_epoch_end()
        >>> bool(regularizer(features, labels) > 0)
        True
    """

    function = staticmethod(srl_loss)

    edges: Tensor
    points: Tensor
    surrogate: Tensor
    epoch_sums: Tensor
    num_points: int
    momentum: float

    def __init__(
        self,
        num_features: int | Auto,
        *,
        low: float | Auto,
        high: float | Auto,
        bin_width: float | Auto,
        envelope: float = 0.1,
        homogeneity: float = 0.1,
        contrast: float = 1.0,
        temperature: float = 0.1,
        num_points: int = 2000,
        momentum: float = 0.9,
    ) -> None:
        super().__init__(
            num_features=num_features,
            low=low,
            high=high,
            bin_width=bin_width,
            envelope=envelope,
            homogeneity=homogeneity,
            contrast=contrast,
            temperature=temperature,
            num_points=num_points,
            momentum=momentum,
        )
        for name, value in (("low", low), ("high", high)):
            check_number(name, given(value))
        check_number("momentum", momentum, low=0)
        if momentum >= 1:
            raise ValueError(f"momentum: expected a number below 1, got {momentum}")
        self.register_buffer("edges", None, persistent=False)
        for name in ("points", "surrogate", "epoch_sums"):
            self.register_buffer(name, None)
        if AUTO not in (num_features, low, high, bin_width):
            self.resolved()

    def resolved(self) -> None:
        """Make bins, points and memory, once all numbers are known.

        Raises:
            ValueError: as for the class.
        """
        features, low, high, width = (number(name, getattr(self, name)) for name in _SIZES)
        self.edges = Bins.by_width(width=width, low=low, high=high).edges[0].float()  # (K + 1,)
        self.points = unit_vectors(torch.randn(self.num_points, features, dtype=torch.float32))
        self.surrogate = torch.zeros(len(self.edges) - 1, features, dtype=torch.float32)
        self.epoch_sums = torch.zeros_like(self.surrogate)

    def forward(
        self, features: Tensor, labels: Tensor, predictions: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Loss of a batch: features (n, d), labels (n,) or (n, 1), weights (n,) or None; predictions are not used."""
        loss = super().forward(features, labels, predictions, weights)
        if self.training:
            self._remember(features, labels)
        return loss

    def settings(self) -> dict[str, Any]:
        """Settings and memory, for the function; ValueError while a number is still "auto"."""
        for name in _SIZES:
            number(name, getattr(self, name))
        return {**super().settings(), "edges": self.edges, "surrogate": self.surrogate, "points": self.points}

    @torch.no_grad()
    def _remember(self, features: Tensor, labels: Tensor) -> None:
        unit = unit_vectors(features.float()).nan_to_num()  # (n, d); one diverged batch must not spoil the memory
        bins = _bins(labels.reshape(-1, 1), self.edges)  # (n,)
        sums = torch.zeros_like(self.epoch_sums).index_add(0, bins, unit.to(self.epoch_sums.dtype))  # (K, d)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        self.epoch_sums += sums

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Move the memory towards the centroids of the epoch that ends, and begin a new one."""
        fresh = unit_vectors(self.epoch_sums)  # (K, d); a mean and a sum have one direction
        seen = fresh.any(dim=1, keepdim=True)  # (K, 1)
        remembered = self.surrogate.any(dim=1, keepdim=True)  # (K, 1)
        moved = unit_vectors(self.momentum * self.surrogate + (1 - self.momentum) * fresh)  # (K, d)
        moved = torch.where(remembered, moved, fresh)  # (K, d)
        self.surrogate.copy_(torch.where(seen, moved, self.surrogate))
        self.epoch_sums.zero_()
