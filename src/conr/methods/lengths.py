"""Length of a training on a table: rows per batch, epochs, and patience."""

import math

from conr._auto import AUTO, T
from conr._checks import check_number

_BATCH_SIZES = ((10_000, 128), (50_000, 256), (200_000, 512))
_LARGEST_BATCH = 1024
_STEPS = 1500
FEWEST_EPOCHS, MOST_EPOCHS = 24, 180
_LONGER = 5 / 3  # a training whose last epoch is kept


def automatic(name: str, value: T | str, default: T) -> T:
    """A number, or the default where "auto" stands for it."""
    if not isinstance(value, str):
        check_number(name, value)
        return value
    if value != AUTO:
        raise ValueError(f"{name}: expected 'auto' or a number, got {value!r}")
    return default


def default_batch_size(rows: int) -> int:
    """128 rows up to 10,000 training rows, then 256, 512 and 1024."""
    return next((size for most, size in _BATCH_SIZES if rows <= most), _LARGEST_BATCH)


def default_epochs(rows: int, batch_size: int, *, to_end: bool = False) -> int:
    """About 1500 steps, in 24 to 180 epochs; if no validation rows end it, about 2500 steps, in 40 to 300 epochs."""
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, _STEPS / math.ceil(rows / max(batch_size, 1))))
    return round(epochs * _LONGER if to_end else epochs)


def default_patience(max_epochs: int) -> int:
    """Epochs without a lower validation error after which training ends: a third of all, at least 10."""
    return max(10, max_epochs // 3)
