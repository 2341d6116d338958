r"""Balanced MSE in its three forms BMC, GAI and BNI (Ren et al., CVPR 2022)."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from conr._auto import Auto, given, number
from conr._extras import require
from conr._tensor_checks import check_device, check_outputs, check_table
from conr.density import Bins
from conr.density.bins import finite_columns
from conr.losses._common import FittedLoss, check_settings, paired_columns, reduced_samples


def bmc_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    noise_scale: float | Tensor,
    candidates: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    r"""Balanced MSE by batch (BMC): pick a sample's own label among the labels of the batch.

    $$\ell_i = 2 \sigma^2 w_i \Big[ \frac{\|\hat y_i - y_i\|^2}{2 \sigma^2}
      + \log \sum_j e^{-\|\hat y_i - y_j\|^2 / 2 \sigma^2} \Big]$$

    Symbols: $\hat y$ predictions, $y$ labels, $w$ weights, $\sigma$ noise_scale. Source: "Balanced MSE for Imbalanced
    Visual Regression", CVPR 2022. The sum estimates how likely each prediction is under the training labels: what makes
    MSE shrink towards common labels is divided out. The factor $2 \sigma^2$ is a constant to the gradient.

    Differences from the authors' code: several label dimensions need no multivariate normal objects, as their constants
    cancel; and the log-sum may run over a random part of the batch (see ``candidates``).

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        noise_scale: standard deviation of the prediction error, in label units; positive: a number, or a scalar tensor
            that may require a gradient.
        candidates: how many labels of the batch, drawn at random for all samples, stand for the others in the
            log-sum, whose expectation does not change; all if None. For batches whose n^2 pairs are too many.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. Never negative, unless candidates are drawn.

    Raises:
        ValueError: shapes or devices differ; noise_scale not positive; candidates below 1; an unknown reduction.
        TypeError: not tensors; integer predictions or weights; labels that are no real numbers.

    Notes:
        n^2 k time and memory, n * candidates * k with candidates. A batch of one sample is 0, as there is nothing to
        tell apart: larger batches estimate better. Draws from torch's global generator.

    Example:
        >>> import torch
        >>> bmc_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), noise_scale=2.0, reduction="none")
        tensor([2.5061, 5.5452])
    """
    if candidates is not None:
        check_settings(candidates=candidates)
    check_outputs(predictions, labels)
    predictions, labels = paired_columns(predictions, labels)  # (n, k), (n, k)
    n = len(labels)
    twice_variance = 2 * _noise_variance(noise_scale, predictions)  # ()
    own = (predictions - labels).square().sum(dim=1) / twice_variance  # (n,)
    if candidates is None or candidates >= n:
        pairs = (predictions.unsqueeze(1) - labels).square().sum(dim=2) / twice_variance  # (n, n)
        terms = own + _log_sum_exp(-pairs)  # (n,)
    else:
        # NOTE[DIFF]: a part of the batch stands for its other labels, each counted (n - 1) / (number drawn) times.
        drawn = torch.randperm(n, device=labels.device)[:candidates]  # (c,)
        pairs = (predictions.unsqueeze(1) - labels[drawn]).square().sum(dim=2) / twice_variance  # (n, c)
        itself = drawn == torch.arange(n, device=labels.device).unsqueeze(1)  # (n, c)
        others = candidates - itself.sum(dim=1)  # (n,)
        log_times = math.log(n - 1) - others.clamp(min=1).to(pairs.dtype).log()  # (n,)
        log_others = (log_times.unsqueeze(1) - pairs).masked_fill(itself, -math.inf)  # (n, c)
        terms = own + _log_sum_exp(torch.cat((-own.unsqueeze(1), log_others), dim=1))  # (n,)
    return reduced_samples(twice_variance.detach() * terms, weights, reduction)


def gai_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    noise_scale: float | Tensor,
    masses: Tensor,
    means: Tensor,
    covariances: Tensor,
    reduction: str = "mean",
) -> Tensor:
    r"""Balanced MSE in closed form (GAI): the training labels are a Gaussian mixture.

    $$\ell_i = 2 \sigma^2 w_i \Big[ -\log \mathcal N(y_i; \hat y_i, \sigma^2 I)
      + \log \sum_m \pi_m \, \mathcal N(\hat y_i; \mu_m, \Sigma_m + \sigma^2 I) \Big]$$

    Symbols: $\pi$ masses, $\mu$ means, $\Sigma$ covariances; all others, the source and the factor as in `bmc_loss`.

    Differences from the authors' code: one Cholesky factor per component stands for multivariate normal objects;
    `GAI` fits the mixture to standardised labels.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        noise_scale: standard deviation of the prediction error, in label units; positive: a number, or a scalar tensor
            that may require a gradient.
        masses: of the m components, shape (m,), positive, of sum 1.
        means: shape (m, k), in label units.
        covariances: shape (m, k, k), positive semi-definite.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. Often negative: it is a difference of two log-densities.

    Raises:
        ValueError, TypeError: as `bmc_loss`.

    Notes:
        n m k^2 + m k^3 time, without multivariate normal objects.

    Example:
        >>> import torch
        >>> mixture = {"masses": torch.tensor([0.8, 0.2]), "means": torch.tensor([[0.0], [5.0]])}
        >>> mixture["covariances"] = torch.tensor([[[1.0]], [[1.0]]])
        >>> gai_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), noise_scale=1.0, **mixture, reduction="none")
        tensor([-0.6277,  0.9989])
    """
    check_outputs(predictions, labels)
    predictions, labels = paired_columns(predictions, labels)  # (n, k), (n, k)
    k = labels.shape[1]
    check_table("masses", masses, ("m",), predictions.device)
    check_table("means", means, (len(masses), k), predictions.device)
    check_table("covariances", covariances, (len(masses), k, k), predictions.device)
    variance = _noise_variance(noise_scale, predictions)  # ()
    own = (predictions - labels).square().sum(dim=1) / (2 * variance) + k / 2 * variance.log()  # (n,)
    widened = covariances.to(variance.dtype) + variance * torch.eye(k, device=means.device, dtype=variance.dtype)
    factors, _ = torch.linalg.cholesky_ex(widened)  # (m, k, k); unchecked, as a check makes a GPU wait
    deviations = predictions.T - means.to(variance.dtype).unsqueeze(2)  # (m, k, n)
    distances = torch.linalg.solve_triangular(factors, deviations, upper=False).square().sum(dim=1)  # (m, n)
    log_volumes = factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)  # (m,)
    log_components = (masses.to(variance.dtype).log() - log_volumes).unsqueeze(1) - distances / 2  # (m, n)
    terms = own + torch.logsumexp(log_components, dim=0)  # (n,); both lack k / 2 log(2 pi)
    return reduced_samples(2 * variance.detach() * terms, weights, reduction)


def bni_loss(
    predictions: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    noise_scale: float | Tensor,
    masses: Tensor,
    centers: Tensor,
    reduction: str = "mean",
) -> Tensor:
    r"""Balanced MSE by numerical integration (BNI): the training labels are a histogram.

    $$\ell_i = 2 \sigma^2 w_i \Big[ \frac{\|\hat y_i - y_i\|^2}{2 \sigma^2}
      + \log \sum_b \pi_b \, e^{-\|\hat y_i - c_b\|^2 / 2 \sigma^2} \Big]$$

    Symbols: $\pi$ masses, $c$ centers; all others, the source and the factor as in `bmc_loss`.

    Differences from the authors' code: `BNI` places a bin's mass at the mean of its labels, not at its middle.

    Args:
        predictions: shape (n,) or (n, k).
        labels: shape of predictions.
        weights: shape (n,), with mean 1 over the training samples; 1 if None.
        noise_scale: standard deviation of the prediction error, in label units; positive: a number, or a scalar tensor
            that may require a gradient.
        masses: share of the training labels in each of b bins, shape (b,), positive, of sum 1.
        centers: where the labels of each bin lie, shape (b, k), in label units.
        reduction: ``"mean"`` over samples, ``"sum"``, or ``"none"`` for shape (n,).

    Returns:
        A scalar, or shape (n,). float32 at least. Often negative, where labels are denser than the noise is wide.

    Raises:
        ValueError, TypeError: as `bmc_loss`.

    Notes:
        n b k time and memory.

    Example:
        >>> import torch
        >>> histogram = {"masses": torch.tensor([0.8, 0.2]), "centers": torch.tensor([[0.0], [5.0]])}
        >>> bni_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]), noise_scale=2.0, **histogram, reduction="none")
        tensor([-1.4842, -0.7804])
    """
    check_outputs(predictions, labels)
    predictions, labels = paired_columns(predictions, labels)  # (n, k), (n, k)
    check_table("masses", masses, ("b",), predictions.device)
    check_table("centers", centers, (len(masses), labels.shape[1]), predictions.device)
    twice_variance = 2 * _noise_variance(noise_scale, predictions)  # ()
    own = (predictions - labels).square().sum(dim=1) / twice_variance  # (n,)
    distances = (predictions.unsqueeze(1) - centers.to(predictions.dtype)).square().sum(dim=2)  # (n, b)
    log_terms = masses.to(predictions.dtype).log() - distances / twice_variance  # (n, b)
    return reduced_samples(twice_variance.detach() * (own + torch.logsumexp(log_terms, dim=1)), weights, reduction)


def _log_sum_exp(logits: Tensor) -> Tensor:
    return torch.logsumexp(logits, dim=1) if len(logits) else logits.sum(dim=1)  # no rows have no maximum


def _noise_variance(noise_scale: float | Tensor, like: Tensor) -> Tensor:
    """Square of a positive number or scalar tensor, in the dtype and on the device of ``like``."""
    if not isinstance(noise_scale, Tensor):
        check_settings(noise_scale=noise_scale)
        return like.new_full((), noise_scale).square()
    if noise_scale.ndim != 0:
        raise ValueError(f"noise_scale: expected a number or a scalar tensor, got shape {tuple(noise_scale.shape)}")
    check_device("noise_scale", noise_scale, like.device)
    return noise_scale.to(like.dtype).square()


class NoiseScale(nn.Module):
    """A positive standard deviation, stored as its logarithm.

    Args:
        noise_scale: value at the start, in label units; positive. Of "auto" the logarithm is 0 until it is a number.
        learn: whether it is trained.
    """

    def __init__(self, noise_scale: float | Auto, *, learn: bool) -> None:
        super().__init__()
        check_settings(noise_scale=given(noise_scale))
        self.noise_scale = noise_scale
        self.log = nn.Parameter(torch.tensor(math.log(given(noise_scale)), dtype=torch.float32), requires_grad=learn)

    def resolved(self) -> None:
        """Start from the number that "auto" has become."""
        with torch.no_grad():
            self.log.fill_(math.log(number("noise_scale", self.noise_scale)))

    def forward(self) -> Tensor:
        """The standard deviation, a scalar."""
        number("noise_scale", self.noise_scale)
        return self.log.exp()

    def extra_repr(self) -> str:
        """Value, for printing."""
        return f"{self.log.exp().item():g}, learn={self.log.requires_grad}"


class _BalancedMSE(FittedLoss):
    """Base of the three forms: settings, learned tables and the noise scale, for the function."""

    def __init__(self, *, noise_scale: float | Auto, learn_noise_scale: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.noise_scale = NoiseScale(noise_scale, learn=learn_noise_scale)

    def settings(self) -> dict[str, Any]:
        """Arguments of the function; RuntimeError before ``fit``."""
        return {**super().settings(), "noise_scale": self.noise_scale()}


class BMC(_BalancedMSE):
    """Balanced MSE by batch as a module with its own noise scale; see `bmc_loss`.

    Args:
        noise_scale: of the prediction error at the start, in label units; positive. The authors start at 10 for ages
            and at 1 for depths; "auto" is half a standard deviation of the training labels (`conr.methods.resolve`).
        learn_noise_scale: whether it is trained with the network, in log space.
        candidates: see `bmc_loss`.
        reduction: see `bmc_loss`.

    Example:
        >>> import torch
        >>> criterion = BMC(noise_scale=2.0)
        >>> criterion(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
        tensor(4.0256, grad_fn=<DivBackward0>)
    """

    function = staticmethod(bmc_loss)
    tables = ()
    optional = ("candidates",)

    def __init__(
        self,
        *,
        noise_scale: float | Auto,
        learn_noise_scale: bool = True,
        candidates: int | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(
            noise_scale=noise_scale, learn_noise_scale=learn_noise_scale, candidates=candidates, reduction=reduction
        )


class GAI(_BalancedMSE):
    """Balanced MSE in closed form as a module that fits the mixture of the training labels; see `gai_loss`.

    Args:
        noise_scale: see `BMC`.
        learn_noise_scale: see `BMC`.
        components: of the mixture, fewer if there are fewer distinct labels. The authors use 8 for ages.
        reduction: see `gai_loss`.

    Example:
        >>> import torch
        >>> criterion = GAI(noise_scale=1.0, components=2).fit(torch.tensor([0.0, 0.1, 0.2, 5.0, 5.2]))
        >>> criterion.means
        tensor([[0.1000],
                [5.1000]])
    """

    function = staticmethod(gai_loss)
    tables = ("masses", "means", "covariances")

    components: int
    masses: Tensor | None
    means: Tensor | None
    covariances: Tensor | None

    def __init__(
        self, *, noise_scale: float | Auto, learn_noise_scale: bool = True, components: int = 8, reduction: str = "mean"
    ) -> None:
        super().__init__(
            noise_scale=noise_scale, learn_noise_scale=learn_noise_scale, components=components, reduction=reduction
        )

    def fit(self, labels: Tensor, bins: Bins | None = None) -> Self:  # noqa: ARG002  fits like other criteria
        """Fit the mixture to the training labels (n,) or (n, k), always with the same result. Returns self.

        Raises:
            ValueError: no labels, or one that is not finite.
            ImportError: scikit-learn is not installed.
        """
        require("GAI.fit", "sklearn")
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415  an extra, which only the fit needs

        columns = finite_columns(labels).cpu()  # (n, k)
        columns = columns.expand(2, -1) if len(columns) == 1 else columns  # scikit-learn refuses a single sample
        center = columns.mean(dim=0)  # (k,)
        constant = columns.amin(dim=0) == columns.amax(dim=0)  # (k,)
        spread = torch.where(constant, 1, columns.std(dim=0, correction=0))  # (k,)
        # NOTE[DIFF]: the released code fits raw labels.
        scaled = (columns - center) / spread  # so that scikit-learn's floor of variances fits any unit
        components = min(self.components, len(torch.unique(columns, dim=0)))
        mixture = GaussianMixture(components, random_state=0, max_iter=1000).fit(scaled.numpy())
        means = torch.from_numpy(mixture.means_)  # (m, k)
        order = means[:, 0].argsort()  # (m,)
        tables = {
            "masses": torch.from_numpy(mixture.weights_)[order],
            "means": means[order] * spread + center,
            "covariances": torch.from_numpy(mixture.covariances_)[order] * spread * spread.unsqueeze(1),
        }
        for name, table in tables.items():
            setattr(self, name, table.float().to(labels.device))
        return self


class BNI(_BalancedMSE):
    """Balanced MSE by numerical integration as a module that counts the training labels; see `bni_loss`.

    Args:
        noise_scale: see `BMC`.
        learn_noise_scale: see `BMC`.
        reduction: see `bni_loss`.

    Example:
        >>> import torch
        >>> criterion = BNI(noise_scale=1.0).fit(torch.tensor([0.5, 0.7, 3.5]), Bins([0, 1, 2, 3, 4]))
        >>> criterion.centers
        tensor([[0.6000],
                [3.5000]])
    """

    function = staticmethod(bni_loss)
    tables = ("masses", "centers")

    masses: Tensor | None
    centers: Tensor | None

    def __init__(self, *, noise_scale: float | Auto, learn_noise_scale: bool = True, reduction: str = "mean") -> None:
        super().__init__(noise_scale=noise_scale, learn_noise_scale=learn_noise_scale, reduction=reduction)

    def fit(self, labels: Tensor, bins: Bins) -> Self:
        """Count the training labels (n,) or (n, k) in bins. Returns self.

        Raises:
            ValueError: no labels; a label that is NaN or outside the bins.
        """
        columns = finite_columns(labels)  # (n, k)
        index = bins.index(labels)  # (n,)
        counts = torch.bincount(index, minlength=len(bins)).to(columns)  # (bins,)
        sums = columns.new_zeros(len(bins), columns.shape[1]).index_add_(0, index, columns)  # (bins, k)
        occupied = counts > 0  # (bins,)
        # NOTE[DIFF]: the mean of a bin's labels, not its middle: whole ages lie at the left edge of bins of a year.
        self.centers = (sums[occupied] / counts[occupied].unsqueeze(1)).float()
        self.masses = (counts[occupied] / len(columns)).float()
        return self
