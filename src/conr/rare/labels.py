"""Labels, rows and seeds as the parts for any model take them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, column_or_1d

from conr.density.bins import Bins
from conr.density.default_bins import label_bins
from conr.tables.columns import Columns

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def drawn_seed(random_state: Any) -> int:
    """Draw a seed from a seed, a generator or None, as scikit-learn takes them."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def checked_labels(y: Any) -> Floats:
    """Labels as float64, shape (n,) or (n, k).

    Raises:
        TypeError: labels that are no array.
        ValueError: no labels, one that is not a finite number, or more than two dimensions.
    """
    if y is None:
        raise ValueError("y: expected labels, got None (requires y to be passed, but the target y is None)")
    return np.array(check_array(y, ensure_2d=False, dtype=np.float64, input_name="y"))  # pandas' are read-only


def one_target(y: Any, name: str) -> Floats:
    """Labels of one target, shape (n,).

    Args:
        y: labels, shape (n,) or (n, 1).
        name: of the estimator, for the message.

    Raises:
        TypeError, ValueError: as `checked_labels`; several targets.
    """
    labels = checked_labels(y)
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(f"y: expected one target, got shape {labels.shape}; fit one {name} for each")
    found: Floats = column_or_1d(labels, warn=True)
    return found


def chosen_bins(labels: Floats, bins: Bins | None) -> Bins:
    """The given bins, or those of `conr.density.label_bins`, where labels outside belong to the nearest bin.

    A label dimension in which all labels are equal has one bin.

    Args:
        labels: finite, shape (n,) or (n, k).
        bins: of the user.

    Raises:
        ValueError: bins of another number of label dimensions.
    """
    columns = labels.reshape(len(labels), -1)
    if bins is not None:
        if bins.dimensions != columns.shape[1]:
            raise ValueError(f"bins: expected {columns.shape[1]} label dimension(s), got {bins}")
        return Bins([edges.tolist() for edges in bins.edges], clamp=True)
    varied = [bool(column.min() < column.max()) for column in columns.T]
    found = iter(label_bins(columns[:, varied]).edges if any(varied) else ())
    edges = [
        next(found).tolist() if varies else [float(column[0]), math.nextafter(float(column[0]), math.inf)]
        for varies, column in zip(varied, columns.T, strict=True)
    ]
    return Bins(edges, clamp=True)


def bin_index(labels: Floats, bins: Bins) -> Positions:
    """Bin of each label, shape (n,)."""
    found: Positions = bins.index(labels).numpy()
    return found


def take(rows: Any, positions: Positions) -> Any:
    """Rows of a DataFrame, array, sparse matrix, list or `Columns`, in the order of the positions."""
    if isinstance(rows, Columns):
        return rows.take(positions)
    if hasattr(rows, "iloc"):
        return rows.iloc[positions]
    if isinstance(rows, list | tuple):
        return [rows[position] for position in positions]
    if hasattr(rows, "tocsr"):
        return rows.tocsr()[positions]
    return (rows if hasattr(rows, "shape") else np.asarray(rows))[positions]
