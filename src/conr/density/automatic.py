"""The rule behind "auto": every number in label units that a method asks for, from the training labels."""

from torch import Tensor

from conr.density.bins import Bins, finite_columns
from conr.density.suggestions import suggest_settings

_NOISE = 0.5  # standard deviations of the label
_DELTA = 0.5
_STEEPNESS = 4.0  # per standard deviation


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


def _short(value: float) -> float:
    return float(f"{value:.2g}")
