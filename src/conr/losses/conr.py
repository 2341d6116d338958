r"""ConR: the contrastive regularizer for deep imbalanced regression (Keramati, Meng, Evans, ICLR 2024)."""

from typing import NamedTuple

import torch
from torch import Tensor

from conr._auto import Auto, given
from conr._checks import check_choice, check_whole
from conr._tensor_checks import check_device, check_features, check_labels, check_weights
from conr.losses._common import LossModule, check_settings
from conr.pairwise import (
    ENGINES,
    Contrast,
    Distance,
    Push,
    Rule,
    Samples,
    contrast,
    gather_samples,
    join,
    pair_sets,
    world_size,
)
from conr.pairwise.pairs import spoilt

GATHERS = ("auto", "off")


class ConRStatistics(NamedTuple):
    """Counts of a batch, as `conr_statistics` gives them."""

    anchors: Tensor  # scalar: samples with positives and negatives
    positives: Tensor  # (n,): positives per sample
    negatives: Tensor  # (n,): negatives per sample
    agreeing: Tensor  # (regions,): pairs whose predictions agree, by the shot region of their first sample
    colliding: Tensor  # (regions,): those among them whose labels differ

    @property
    def collapse(self) -> Tensor:
        """Share of same-prediction pairs with different labels, (regions,); NaN where predictions never agree."""
        return self.colliding / self.agreeing


def conr_loss(
    features: Tensor,
    labels: Tensor,
    predictions: Tensor,
    *,
    window: float,
    temperature: float = 0.07,
    distance_scale: float = 0.01,
    push: Push = "exp",
    distance: Distance = "l2",
    weights: Tensor | None = None,
    weight_anchors: bool = True,
    reduction: str = "mean",
    reference: bool = False,
    engine: str = "auto",
    candidates: Samples | None = None,
    gather: str = "auto",
) -> Tensor:
    r"""Pull features of samples with similar labels together; push apart those that only the predictions confuse.

    $$\ell_i = -\frac{1}{|P_i|} \sum_{j \in P_i} s_{ij}
      + \log\Big( \sum_{p \in P_i} e^{s_{ip}} + \sum_{q \in Q_i} S_{iq}\, e^{s_{iq}} \Big), \qquad
      L = \frac{1}{n} \sum_{i \in A} a_i \ell_i$$

    $$P_i = \{j \neq i : d(y_i, y_j) \le \omega\}, \quad
      Q_i = \{q : d(y_i, y_q) > \omega,\ d(\hat y_i, \hat y_q) \le \omega\}, \quad
      A = \{i : P_i, Q_i \neq \emptyset\}$$

    $$s_{ij} = \cos(z_i, z_j) / \tau, \qquad S_{iq} = w_i\, e^{\eta\, d(y_i, y_q)}$$

    Symbols: $z$ features, $y$ labels, $\hat y$ predictions, $w$ weights, $\omega$ window, $\tau$ temperature, $\eta$
    distance_scale, $S$ push, $a_i = w_i$ with ``weight_anchors``, else 1. Source: "ConR: Contrastive Regularizer for
    Deep Imbalanced Regression", ICLR 2024, equations 2 to 4. The total loss of training is $L_R + \beta L$.

    Differences from the paper and from the authors' code:

    - The anchor weight $a_i = w_i$ is the released code's for age estimation; the paper's equation has $a_i = 1$.
    - The released code multiplies masked logits, so that every key that is not a positive (the anchor too) adds 1 to
      the denominator; here they add nothing. ``reference=True`` restores the released numbers.
    - An anchor without positives is NaN in the released code; here it is left out.
    - Distances that exceed the window by rounding alone count as within, as labels in steps of 0.1 are 0.1 apart only
      up to rounding: up to $r (\omega + |y_i| + |y_j|)$, with $|y|$ the sum over dimensions (integers and a function as
      distance: $r \omega$). $r$ is two machine epsilons of the labels' type, 2.4e-7 in float32 and 4.4e-16 in float64,
      and half an epsilon in half precision, 4.9e-4 in float16 and 3.9e-3 in bfloat16; for predictions by theirs. With
      ``reference=True`` they are compared as they are.

    Args:
        features: shape (n, d), float16, bfloat16, float32 or float64: the encoder's output, not normalised.
        labels: shape (n,), (n, 1) or (n, k), in label units.
        predictions: like labels. Detached.
        window: largest distance of labels (of predictions) that count as similar, in label units; positive. The finest
            difference of labels that matters: 1 year of age, 0.2 m of depth.
        temperature: positive; smaller is harder.
        distance_scale: how much more strongly far labels repel, in 1 / label units; about 1 / label range.
        push: ``"exp"`` (as above), ``"linear"`` ($S = w_i\, \eta\, d$), or an elementwise function $f$ of the scaled
            distances $\eta d$, so that $S = w_i f(\eta d)$; its values must be positive.
        distance: ``"l1"``, ``"l2"``, ``"linf"``, ``"angular"`` (labels are pitch and yaw in radians, so is the window),
            or a function of labels (n, k) and (m, k) that returns (n, m), each distance from its two labels alone.
        weights: positive rarity of each label, shape (n,), such as ``LabelDensity.weights`` gives; 1 if None.
        weight_anchors: whether an anchor's term is also multiplied by its weight.
        reduction: ``"mean"`` over all n samples (not only anchors, as in the paper), ``"sum"``, or ``"none"``: shape
            (n,), 0 for samples that are no anchors.
        reference: reproduce the released code: with ``push="exp"`` its age variant (always weights anchors), with
            ``push="linear"`` its depth variant (never does; divides positives by $|P_i| + 1$). Labels, predictions and
            weights of the depth variant are image means (`image_means`), features are flattened maps.
        engine: how the sums are computed, which changes cost and rounding only. ``"dense"``: all pairs at once.
            ``"blockwise"``: by tiles, which backward computes again. ``"windowed"``: the same in the order of labels
            and of predictions, only tiles that hold pairs, some kept; labels of one dimension and a named distance.
            ``"triton"``: like windowed, by kernels for a GPU, in any label dimension; named distances and pushes.
            ``"auto"``: the fastest by size, number of pairs and device.
        candidates: more samples that the batch is compared with, but which are no anchors, such as a memory of earlier
            batches: `conr.pairwise.Samples` of features (m, d), labels and predictions like those of the batch. Their
            features get a gradient if they ask for one.
        gather: ``"auto"``: under torch.distributed the batches of all processes are candidates of each other;
            ``"off"``: every process for itself.

    Returns:
        A scalar, or shape (n,): float32, or float64 for float64 features. Without anchors 0, with a graph. With a
        gather, ``"mean"`` and ``"sum"`` are times the number of processes, so that the mean over processes that
        DistributedDataParallel takes of gradients gives those of one process with the joined batch.

    Raises:
        ImportError: ``engine="triton"`` without Triton.
        ValueError: wrong rank, lengths or devices; window or temperature not positive; distance_scale negative; an
            unknown push, distance, reduction, engine or gather; an engine that cannot do this distance, push, label
            dimension or device; ``reference`` with a push that was never released; on a CPU, labels that overflow when
            they are multiplied by distance_scale.
        TypeError: not tensors; integer features or weights; a number that is none.

    Notes:
        Dense: n^2 d time and n^2 memory; blockwise: up to n^2 d time and n d memory; windowed: time by the number of
        pairs and n d memory. Differentiable once in features. Values are not checked, as that would make a GPU wait: a
        negative weight is a NaN in the loss. With a gather every process must call the loss and its backward pass, and
        ``candidates`` are not gathered.

    Example:
        >>> import torch
        >>> features = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> labels = torch.tensor([10.0, 11.0, 40.0, 41.0])
        >>> predictions = torch.tensor([12.0, 12.5, 13.0, 40.0])
        >>> conr_loss(features, labels, predictions, window=1.0, temperature=0.5)
        tensor(0.4137)
    """
    rule = Rule(window, distance, distance_scale, push, temperature, exact=reference).check()
    check_settings(reduction=reduction)
    check_choice("gather", gather, GATHERS)
    samples = _checked(features, labels, predictions)
    others = [] if candidates is None else [_checked_candidates(candidates, samples)]
    n = total = len(samples.features)
    world = world_size() if gather == "auto" else 1
    if world > 1:
        batches = gather_samples(samples)
        total = sum(len(batch.features) for batch in batches)
        others += [batch for batch in batches if batch is not samples]
    if weights is None:
        weights = samples.features.new_ones(n)
    weights = check_weights(weights, n, samples.features.device).detach().to(samples.features.dtype)  # (n,)

    found = contrast(samples, weights, rule, engine=engine, others=join(others) if others else None)
    if rule.exact:
        keys = n + sum(len(batch.features) for batch in others)
        per_anchor = _reference_term(found, keys, rule.push)  # (n,)
        weight_anchors = rule.push == "exp"
    else:
        per_anchor = found.log_total - found.mean_positive  # (n,)
    shares = torch.minimum(found.positives, found.negatives).clamp_(max=1)  # (n,): 1 for anchors, else 0
    if weight_anchors:
        shares.mul_(weights)
    if reduction == "none":
        return per_anchor * shares
    shares.mul_(world / max(total, 1) if reduction == "mean" else world)
    return (per_anchor * shares).sum()


def _checked(features: Tensor, labels: Tensor, predictions: Tensor) -> Samples:
    check_features(features)
    n = len(features)
    labels = check_labels("labels", labels, n, features.device)  # (n, k)
    predictions = check_labels("predictions", predictions, n, features.device)  # (n, k)
    if predictions.shape != labels.shape:
        expected, got = tuple(labels.shape), tuple(predictions.shape)
        raise ValueError(f"predictions: expected shape {expected} like labels, got {got}")
    return Samples(features.to(torch.promote_types(features.dtype, torch.float32)), labels, predictions)


def _checked_candidates(candidates: Samples, samples: Samples) -> Samples:
    try:
        others = _checked(*candidates)
    except (TypeError, ValueError) as error:
        raise type(error)(f"candidates: {error}") from None
    for name, ours, theirs in zip(("features", "labels"), samples, others, strict=False):
        if ours.shape[1] != theirs.shape[1]:
            raise ValueError(
                f"candidates: expected {name} of {ours.shape[1]} columns like the batch, got {theirs.shape[1]}"
            )
    check_device("candidates", others.features, samples.features.device)
    return others


def _reference_term(found: Contrast, candidates: int, push: Push) -> Tensor:
    # NOTE[DIFF]: the released code's mask multiplies logits, so each key that is no positive (self too) adds e^0.
    others = candidates - found.positives  # (n,); at least 1: the anchor itself
    per_anchor = torch.logaddexp(found.log_total, others.log()) - found.mean_positive  # (n,)
    if push == "exp":
        return per_anchor
    # NOTE[DIFF]: the depth variant counts the anchor among its positives where it divides.
    return per_anchor * (found.positives / (found.positives + 1))


def conr_statistics(
    labels: Tensor,
    predictions: Tensor,
    *,
    window: float,
    distance: Distance = "l2",
    regions: Tensor | None = None,
    num_regions: int = 1,
) -> ConRStatistics:
    r"""Count a batch's anchors and pairs, and how often equal predictions hide different labels.

    The collapse of a shot region is the share of pairs (i, j), i in the region, with $d(\hat y_i, \hat y_j) \le \omega$
    whose labels differ by more than $\omega$: what ConR works against.

    Args:
        labels: shape (n,) or (n, k).
        predictions: like labels.
        window: $\omega$, in label units.
        distance: as for `conr_loss`.
        regions: shot region of each label, shape (n,), integers in [0, num_regions), as ``LabelDensity.regions`` gives;
            one region for all samples if None.
        num_regions: how many regions there are.

    Returns:
        Counts as float tensors, so that they add up over batches before ``collapse`` divides them; NaN if a label or a
        prediction is infinite or NaN.

    Raises:
        ValueError, TypeError: as for `conr_loss`; regions of another shape or not integers.

    Example:
        >>> import torch
        >>> found = conr_statistics(torch.tensor([1.0, 1.5, 9.0]), torch.tensor([2.0, 5.0, 2.0]), window=1.0)
        >>> found.negatives.tolist(), found.collapse.tolist()
        ([1.0, 0.0, 1.0], [1.0])
    """
    check_whole("num_regions", num_regions, low=1)
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels: expected a torch.Tensor, got {type(labels).__name__}")
    n = len(labels) if labels.ndim else 0
    labels = check_labels("labels", labels, n, labels.device)  # (n, k)
    predictions = check_labels("predictions", predictions, n, labels.device)  # (n, k)
    if regions is None:
        regions = torch.zeros(n, dtype=torch.long, device=labels.device)
    if regions.shape != (n,) or regions.is_floating_point():
        raise ValueError(f"regions: expected integers of shape ({n},), got {regions.dtype} of {tuple(regions.shape)}")
    check_device("regions", regions, labels.device)
    positives, negatives, _ = pair_sets(labels, predictions, window=window, distance=distance)
    agree = pair_sets(predictions, labels, window=window, distance=distance).positives  # (n, n); roles exchanged
    bad = spoilt(labels) + spoilt(predictions)  # scalar
    colliding = negatives.sum(dim=1, dtype=torch.float32) + bad  # (n,)
    agreeing = agree.sum(dim=1, dtype=torch.float32) + bad  # (n,)
    by_region = torch.zeros(2, num_regions, dtype=torch.float32, device=labels.device)
    by_region.index_add_(1, regions.long(), torch.stack((agreeing, colliding)))
    positive_count = positives.sum(dim=1, dtype=torch.float32) + bad  # (n,)
    return ConRStatistics(
        anchors=((positive_count > 0) & (colliding > 0)).sum(dtype=torch.float32) + bad,
        positives=positive_count,
        negatives=colliding,
        agreeing=by_region[0],
        colliding=by_region[1],
    )


class ConRLoss(LossModule):
    """ConR as a module: stores and checks the hyper-parameters; `conr_loss` has the equation and all arguments.

    Window, temperature and distance scale may be "auto": they follow from the training labels when training starts
    (`conr.methods.resolve`).

    Example:
        >>> import torch
        >>> regularizer = ConRLoss(window=1.0, temperature=0.1)
        >>> features = torch.zeros(4, 8, requires_grad=True)
        >>> labels, predictions = torch.tensor([1.0, 2.0, 8.0, 9.0]), torch.tensor([5.0, 5.0, 5.0, 5.0])
        >>> regularizer(features, labels, predictions)
        tensor(1.1458, grad_fn=<SumBackward0>)
    """

    function = staticmethod(conr_loss)

    def __init__(
        self,
        *,
        window: float | Auto,
        temperature: float | Auto = 0.07,
        distance_scale: float | Auto = 0.01,
        push: Push = "exp",
        distance: Distance = "l2",
        weight_anchors: bool = True,
        reduction: str = "mean",
        reference: bool = False,
        engine: str = "auto",
        gather: str = "auto",
    ) -> None:
        Rule(given(window), distance, given(distance_scale), push, given(temperature), exact=reference).check()
        check_choice("engine", engine, ENGINES)
        check_choice("gather", gather, GATHERS)
        super().__init__(
            window=window,
            temperature=temperature,
            distance_scale=distance_scale,
            push=push,
            distance=distance,
            weight_anchors=weight_anchors,
            reduction=reduction,
            reference=reference,
            engine=engine,
            gather=gather,
        )

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        predictions: Tensor,
        weights: Tensor | None = None,
        candidates: Samples | None = None,
    ) -> Tensor:
        """Loss of a batch: features (n, d), labels and predictions (n,) or (n, k), weights (n,) or None."""
        return conr_loss(features, labels, predictions, weights=weights, candidates=candidates, **self.settings())
