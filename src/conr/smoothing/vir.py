r"""VIR between encoder and head: features with noise, whose moments are smoothed (Wang and Wang, NeurIPS 2023)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._torch import product
from conr.density import Bins
from conr.smoothing.bin_smoother import BinSmoother
from conr.smoothing.calibration import LEAST_VARIANCE, BinCalibration
from conr.smoothing.moments import BinMoments

_FIRST_VARIANCE = 0.01


class VariationalFDS(BinSmoother):
    r"""Features as normal distributions, whose means and variances change smoothly with the label.

    Features $\mu$ become means, and a linear layer on them gives variances $v = \log(1 + e^{A\mu + c})$. In
    training both are calibrated as the features of `FDS` are (`calibrate` has the equation), the means by mean and
    variance of the mean of their bin, the variances by mean and variance of its total variance, and noise is drawn:

    $$z = \tilde\mu + \sqrt{\tilde v}\, \epsilon, \qquad \epsilon \sim \mathcal{N}(0, 1)$$

    The statistics of bin $b$, with $n$ samples in the epoch, and the smoothed ones:

    $$\bar\mu_b = \frac{1}{n} \sum_i \mu_i, \quad
      \bar v_b = \frac{1}{n^2} \sum_i v_i, \quad
      T_b = \frac{1}{n} \sum_i \big(v_i - \bar v_b + \mu_i^2 - \bar\mu_b^2\big), \quad
      U_b = \frac{2 T_b^2}{n - 1}$$
    $$\tilde{\bar\mu} = k * \bar\mu, \quad \tilde{\bar v} = k^2 * \bar v, \quad
      \tilde T = k * T, \quad \tilde U = k^2 * U$$

    so that $\tilde\mu = s(\mu; \bar\mu, \bar v)$ and $\tilde v = s(v; T, U)$ with $s$ of `calibrate`. The statistics
    are kept over epochs as those of `FDS`, with momentum. In evaluation mode features, the means, pass through.

    Symbols: $k$ the kernel, of sum 1; all of $\mu, v, T, U$ per feature. Source: Wang and Wang, "Variational Imbalanced
    Regression", NeurIPS 2023. The other part of the method is the criterion, `conr.losses.VIR`.

    Differences from the paper:

    - Its encoder has two outputs; here the variance is a layer on the features, so that any encoder will do. It starts
      near 0.01.
    - Calibrated variances are at least 1e-10; the equation can make them negative.
    - The decoder and the loss of its reconstruction are left out, and so is, as we recall it, a prior of the features.

    Notes:
        O(n d^2) time per batch and d^2 parameters for the variances; 10 bins d numbers of state. There is noise from
        the first batch on, before there are statistics. Statistics are constants. Under `torch.distributed` they are
        those of all ranks (`BinMoments`). All state is in the state_dict, that of the running epoch too; a fresh module
        needs its bins before it loads one. Keep the module in float32. A sample whose features are not finite is passed
        on, and not measured; squared variances beyond the number range count as its end.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> layer = VariationalFDS(1, Bins([0, 1, 2]), kernel="triangular", kernel_size=3)
        >>> features, labels = torch.tensor([[0.0], [2.0], [4.0], [6.0]]), torch.tensor([0.5, 0.5, 1.5, 1.5])
        >>> layer(features, labels).shape
        torch.Size([4, 1])
        >>> layer.on_train_epoch_end()
        >>> layer.eval()(features, labels).flatten()
        tensor([0., 2., 4., 6.])
    """

    def _add_layers(self) -> None:
        self.spread = nn.Linear(self.num_features, self.num_features)
        nn.init.constant_(self.spread.bias, math.log(math.expm1(_FIRST_VARIANCE)))

    def _allocate(self, bins: Bins) -> None:
        device, size = self.epoch.device, self.num_features
        self.moments = BinMoments(len(bins), 2 * size).to(device)  # of means and variances side by side
        self.means = BinCalibration(bins.shape, size, clip=self.clip).to(device)
        self.variances = BinCalibration(bins.shape, size, clip=self.clip).to(device)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Noisy smoothed features (n, d) of features (n, d) with labels (n,) or (n, k); in evaluation the features.

        Raises:
            RuntimeError: training without bins.
            TypeError, ValueError: as `BinSmoother.check_rows`, or another number of label dimensions than the bins'.
        """
        self.check_rows(features, labels)
        if not self.training:
            return features
        index = self.known_bins().index(labels, check=False)  # (n,)
        weight, bias = self.spread.weight, self.spread.bias  # (d, d), (d,)
        means = features.to(torch.promote_types(features.dtype, weight.dtype))  # (n, d)
        variances = F.softplus(product(means, weight.T.to(means.dtype)) + bias)  # (n, d)
        self.moments.add(torch.cat((means, variances), dim=1), index)
        smoothed = self.means(means, index)  # (n, d)
        # NOTE[DIFF]: the equation alone gives negative variances where one lies far below the mean of its bin.
        deviations = self.variances(variances, index).clamp(min=LEAST_VARIANCE).sqrt()  # (n, d)
        noisy: Tensor = smoothed + deviations * torch.randn_like(smoothed)
        return noisy.to(features.dtype)

    def _update(self, *, smooth: bool) -> None:
        count = self.moments.count
        for calibration, (mean, variance) in zip((self.means, self.variances), self._statistics(), strict=True):
            calibration.update(mean, variance, count, momentum=self.momentum)
            if smooth:
                calibration.smooth(self._window, fill=self.fill, independent=True)

    def _statistics(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Mean and variance of the mean of each bin, and of its total variance; (bins, d) each."""
        count = self.moments.count.unsqueeze(1)  # (bins, 1)
        mean, noise = self.moments.mean.chunk(2, dim=1)
        variance_of_mean = noise / count.clamp(min=1)
        of_features = self.moments.variance(correction=0)[:, : self.num_features]
        total = noise - variance_of_mean + of_features
        most = torch.finfo(total.dtype).max / 4
        return (mean, variance_of_mean), (total, (2 * total.square() / (count - 1).clamp(min=1)).clamp(max=most))
