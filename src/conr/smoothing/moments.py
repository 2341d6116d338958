"""Mean and variance of the features of each label bin, out of one pass over batches and ranks."""

import torch
import torch.distributed
from torch import Tensor, nn

from conr._checks import check_whole


class BinMoments(nn.Module):
    r"""Count, mean and sum of squared deviations of the features of each bin, taken in batch by batch.

    A batch with $m_b$ samples of mean $\bar z_b$ and squared deviations $q_b$ in bin b is merged into $n_b$, $\mu_b$
    and $S_b$ as in Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
    (1979):

    $$\delta_b = \bar z_b - \mu_b, \quad S_b \leftarrow S_b + q_b + \delta_b^2 \frac{n_b m_b}{n_b + m_b}, \quad
      \mu_b \leftarrow \mu_b + \delta_b \frac{m_b}{n_b + m_b}, \quad n_b \leftarrow n_b + m_b$$

    No features are kept, and no large numbers are subtracted from each other, as sums of squares would be.

    Args:
        bins: number of bins.
        num_features: d.

    Attributes:
        count: samples, shape (bins,), int64.
        mean: shape (bins, d); 0 for a bin without samples.
        deviations: sums of squared deviations from the mean, shape (bins, d).

    Raises:
        ValueError: a number below 1.

    Notes:
        Under `torch.distributed` the sums of a batch are reduced over all ranks, in two calls of `all_reduce` with
        bins * d numbers each, so that the state is the same on every rank after every batch, whatever their sizes; all
        ranks must call `add` equally often. The state is in the state_dict. O(n d + bins d).

    Example:
        >>> import torch
        >>> moments = BinMoments(2, 1)
        >>> moments.add(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]))
        >>> moments.mean.tolist(), moments.variance().tolist()
        ([[2.0], [5.0]], [[2.0], [0.0]])
    """

    count: Tensor
    mean: Tensor
    deviations: Tensor

    def __init__(self, bins: int, num_features: int) -> None:
        super().__init__()
        check_whole("bins", bins, low=1)
        check_whole("num_features", num_features, low=1)
        self.register_buffer("count", torch.zeros(bins, dtype=torch.long))
        self.register_buffer("mean", torch.zeros(bins, num_features, dtype=torch.float32))
        self.register_buffer("deviations", torch.zeros(bins, num_features, dtype=torch.float32))

    @torch.no_grad()
    def add(self, features: Tensor, index: Tensor) -> None:
        """Take in a batch: features (n, d) and their bins (n,).

        A sample whose features are not finite, or whose squares are not, does not count: one diverged batch must not
        spoil the statistics.
        """
        rows = features.detach().to(self.mean.dtype)  # (n, d)
        finite = rows.square().isfinite().all(dim=1, keepdim=True)  # (n, 1)
        rows = torch.where(finite, rows, 0)
        sums = self._sums(index, torch.cat((rows, finite.to(rows.dtype)), dim=1))  # (bins, d + 1)
        added = sums[:, -1:]  # (bins, 1)
        means = sums[:, :-1] / added.clamp(min=1)  # (bins, d)
        squares = self._sums(index, torch.where(finite, rows - means[index], 0).square())  # (bins, d)

        before = self.count.unsqueeze(1).to(rows.dtype)  # (bins, 1)
        share = added / (before + added).clamp(min=1)  # (bins, 1)
        shift = means - self.mean  # (bins, d); of no consequence where nothing was added
        self.deviations += squares + shift.square() * before * share
        self.mean += shift * share
        self.count += added.squeeze(1).long()

    def variance(self, *, correction: int = 1) -> Tensor:
        """Variance of the features of each bin, shape (bins, d); 0 for a bin with a single sample or none.

        Args:
            correction: taken from the number of samples: 1 for the unbiased variance, 0 for the mean squared deviation.
        """
        return self.deviations / (self.count - correction).clamp(min=1).unsqueeze(1)

    @torch.no_grad()
    def clear(self) -> None:
        """Forget all samples."""
        for state in (self.count, self.mean, self.deviations):
            state.zero_()

    def _sums(self, index: Tensor, rows: Tensor) -> Tensor:
        sums = rows.new_zeros(len(self.count), rows.shape[1]).index_add(0, index, rows)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        return sums
