"""Settings that follow from the training labels: where to start before anything is tuned, and "auto"."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from conr._checks import check_choice, check_number
from conr.density.bins import Bins, finite_columns

CRITERIA = ("l1", "mse")

_TEMPERATURE = 0.1
_COEFFICIENT = 0.04  # of the labels' range
_ERROR = 0.1  # of the labels' range: twice a usual error, the slope of the square there
_WIDEST_RANGE = 10  # standard deviations
_EVEN = 2  # times the mean count of the other bins
_COMPARED = 2048
_NOISE = _DELTA = 0.5  # standard deviations of the label
_STEEPNESS = 4.0  # per standard deviation


class ConRSettings(NamedTuple):
    """Settings of ConR that `suggest_settings` suggests.

    Attributes:
        window: of `conr.conr_loss`, in label units.
        temperature: of `conr.conr_loss`.
        distance_scale: of `conr.conr_loss`, in 1 / label units.
        coefficient: beta, the factor of ConR in the total loss.
    """

    window: float
    temperature: float
    distance_scale: float
    coefficient: float


def suggest_settings(labels: Tensor, bins: Bins, *, criterion: str = "l1", batch_size: int = 64) -> ConRSettings:
    r"""Window, temperature, distance scale and coefficient of ConR from the range of the labels and their resolution.

    $$\omega = \Delta \max\big(1, \lceil \omega_1 / \Delta \rceil\big), \qquad \tau = 0.1, \qquad \eta = 1 / R, \qquad
      \beta = 0.04\, R' \ \text{(L1)} \quad \text{or} \quad 0.004\, R'^2 \ \text{(MSE)}$$

    Symbols: $\Delta$ width of a bin, the labels' resolution; $\omega_1$ the window in which half of the samples expect
    another sample of their batch; $R$ highest minus lowest label; $R'$ the same, but at most 10 standard deviations.
    With several label dimensions $\Delta$ and $R$ are the largest of them. Source: ours; the paper gives values for its
    datasets only.

    Why: labels closer than a bin are alike for all that is counted per bin, so they are the positives; a window without
    positives in the batch would leave nothing to pull together. With $\eta = 1/R$ the push of the farthest pair is $e$
    times that of the nearest. ConR has no unit and a criterion has that of the label (squared for MSE), so the
    coefficient has to carry it. It grows with the slope of the criterion: 1 for L1, and $2|e| \approx 0.1 R$ for MSE at
    an error of a twentieth of the range. One extreme label must not set it: hence $R'$.

    Args:
        labels: of training, shape (n,) or (n, k), finite.
        bins: of the labels; the mean width of their bins is the resolution.
        criterion: what ConR is added to: ``"l1"`` or ``"mse"``, in the unit of ``labels``.
        batch_size: inputs per batch, at least 2.

    Returns:
        The settings, in the unit of ``labels``: those of divided labels are those of the labels, divided.

    Raises:
        TypeError: labels that are no tensor of real numbers.
        ValueError: no labels, one that is not finite, labels that are all equal, other label dimensions than the bins'
            or an unknown criterion.

    Notes:
        A starting point, not a choice: ``conr tune`` chooses on a validation split. There the coefficient was 12 for
        rotated digits, where the rule says 3.6, and 0.1 for abalone, where it says 1.1. The window is what a person
        knows best, as it is the finest difference of labels that matters. Of more than 2048 samples as many are
        compared, evenly spaced.

    Example:
        >>> import torch
        >>> ages = torch.arange(1.0, 101.0).repeat(5)
        >>> suggest_settings(ages, Bins.by_width(width=1, low=1, high=101))
        ConRSettings(window=1.0, temperature=0.1, distance_scale=0.01, coefficient=4.0)
    """
    check_choice("criterion", criterion, CRITERIA)
    check_number("batch_size", batch_size, low=2)
    columns = finite_columns(labels).cpu()  # (n, k)
    if columns.shape[1] != bins.dimensions:
        raise ValueError(f"labels: expected {bins.dimensions} label dimension(s), got shape {tuple(labels.shape)}")
    spans = columns.amax(dim=0) - columns.amin(dim=0)  # (k,)
    widest = int(spans.argmax())
    full = float(spans[widest])
    if full == 0:
        raise ValueError(f"labels: expected numbers that differ, got {columns[0].tolist()} in all {len(columns)}")
    reach = min(full, _WIDEST_RANGE * float(columns[:, widest].std(correction=0)))
    width = max(float(edges[-1] - edges[0]) / (len(edges) - 1) for edges in bins.edges)
    steps = max(1, math.ceil(_needed_window(columns, batch_size) / width - 1e-6))
    unit = 1.0 if criterion == "l1" else _ERROR * reach
    return ConRSettings(
        window=float(f"{steps * width:.12g}"),
        temperature=_TEMPERATURE,
        distance_scale=_short(1 / full),
        coefficient=_short(_COEFFICIENT * reach * unit),
    )


def automatic_settings(labels: Tensor, bins: Bins, *, criterion: str = "l1", batch_size: int = 64) -> dict[str, float]:
    r"""Numbers that stand in the place of "auto", by the name of the setting.

    ConR's are those of `suggest_settings`; noise scale (BMC, GAI, BNI) and delta (Huber) are half a standard deviation
    of the labels, the error scale of Focal-R is 4 per standard deviation; ranges, ends and bin width (ACCon, SupCon,
    Ordinal Entropy, SRL) are those of labels and bins. Source: ours; the values of the presets, in one unit.

    Args:
        labels: of training, shape (n,) or (n, k), finite, in label units.
        bins: of the labels.
        criterion: what regularizers are added to, as for `suggest_settings`.
        batch_size: inputs per batch, at least 2.

    Returns:
        ``window``, ``temperature``, ``distance_scale``, ``coefficient``, ``label_range``, ``low``, ``high``,
        ``bin_width``, ``noise_scale``, ``delta`` and ``error_scale``. With several label dimensions the range is that
        of the diagonal, the deviation the root of their mean square, and ``low`` and ``high`` are the first's.

    Raises:
        TypeError, ValueError: as `suggest_settings`.

    Example:
        >>> import torch
        >>> ages = torch.arange(1.0, 101.0).repeat(5)
        >>> found = automatic_settings(ages, Bins.by_width(width=1, low=1, high=101))
        >>> found["window"], found["label_range"], found["noise_scale"]
        (1.0, 99.0, 14.0)
    """
    columns = finite_columns(labels).cpu()  # (n, k)
    low, high = columns.amin(dim=0), columns.amax(dim=0)  # (k,)
    rule = suggest_settings(labels, bins, criterion=criterion, batch_size=batch_size)
    deviation = float(columns.var(dim=0, correction=0).mean().sqrt())
    return {
        **rule._asdict(),
        "label_range": float((high - low).norm()),
        "low": float(low[0]),
        "high": float(high[0]),
        "bin_width": sum(float(edges.diff().median()) for edges in bins.edges) / bins.dimensions,
        "noise_scale": _short(_NOISE * deviation),
        "delta": _short(_DELTA * deviation),
        "error_scale": _short(_STEEPNESS / deviation),
    }


def suggest_scheme(counts: Tensor) -> str:
    """Suggest a scheme of `LabelDensity` for these counts.

    Args:
        counts: training samples per bin, any shape.

    Returns:
        ``"none"`` if no bin has more than twice the mean count of the other bins that have samples, else
        ``"sqrt_inverse"``: full inverse weights follow single samples where bins are nearly empty.

    Raises:
        ValueError: no samples.

    Example:
        >>> suggest_scheme(torch.tensor([100, 90, 110])), suggest_scheme(torch.tensor([1000, 20, 3, 1]))
        ('none', 'sqrt_inverse')
    """
    occupied = counts[counts > 0].double()
    if len(occupied) == 0:
        raise ValueError("counts: expected samples in at least one bin, got none")
    others = (occupied.sum() - occupied.max()) / max(len(occupied) - 1, 1)
    return "sqrt_inverse" if len(occupied) > 1 and occupied.max() > _EVEN * others else "none"


def _needed_window(columns: Tensor, batch_size: int) -> float:
    """The window in which the median sample expects one of the others of its batch."""
    rows = torch.linspace(0, len(columns) - 1, min(len(columns), _COMPARED)).round().long()
    chosen = columns[rows]  # (m, k)
    if len(chosen) < 2:
        return 0.0
    distances = torch.cdist(chosen, chosen, compute_mode="donot_use_mm_for_euclid_dist")  # (m, m)
    others = math.ceil((len(chosen) - 1) / (batch_size - 1))
    return float(distances.kthvalue(others + 1, dim=1).values.median())  # its own distance, 0, is among them


def _short(value: float) -> float:
    return float(f"{value:.2g}")
