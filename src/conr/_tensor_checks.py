"""Argument checks of tensors: each error says what was expected and what came.

Only shapes, dtypes and devices are looked at, never values: none of these checks makes a GPU wait.
"""

import torch
from torch import Tensor


def check_features(features: Tensor) -> None:
    """Require a floating-point matrix of shape (n, d)."""
    _check_tensor("features", features)
    if features.ndim != 2:
        raise ValueError(f"features: expected shape (n, d), got {tuple(features.shape)}")
    if features.shape[1] == 0:
        raise ValueError(f"features: expected at least one column, got shape {tuple(features.shape)}")
    if not features.is_floating_point():
        raise TypeError(f"features: expected a floating-point dtype, got {features.dtype}")
    if features.dtype.itemsize < 2:
        raise TypeError(f"features: expected at least 16 bits, got {features.dtype}")


def check_labels(name: str, labels: Tensor, n: int, device: torch.device) -> Tensor:
    """Require labels or predictions of shape (n,), (n, 1) or (n, k) and return them as (n, k)."""
    _check_tensor(name, labels)
    if labels.ndim not in (1, 2):
        raise ValueError(f"{name}: expected shape (n,) or (n, k), got {tuple(labels.shape)}")
    if labels.shape[0] != n:
        raise ValueError(f"{name}: expected {n} samples like features, got {labels.shape[0]}")
    if labels.ndim == 2 and labels.shape[1] == 0:
        raise ValueError(f"{name}: expected at least one label dimension, got shape {tuple(labels.shape)}")
    if labels.dtype is torch.bool or labels.is_complex():
        raise TypeError(f"{name}: expected real numbers, got {labels.dtype}")
    check_device(name, labels, device)
    return labels.unsqueeze(1) if labels.ndim == 1 else labels


def check_outputs(predictions: Tensor, labels: Tensor, per_label: tuple[int | str, ...] = ()) -> None:
    """Require labels (n,) or (n, k) and floating-point predictions of that shape.

    With ``per_label``, predictions have these further dimensions: numbers, or names of any size above 0.
    """
    _check_tensor("predictions", predictions)
    _check_tensor("labels", labels)
    if labels.ndim not in (1, 2) or not _has_shape(predictions, (*labels.shape, *per_label)):
        more = "".join(f", {one}" for one in per_label)
        expected = f"shapes (n{more}) and (n,), or (n, k{more}) and (n, k)" if more else "equal shapes (n,) or (n, k)"
        raise ValueError(
            f"predictions and labels: expected {expected}, got {tuple(predictions.shape)} and {tuple(labels.shape)}"
        )
    if 0 in predictions.shape[1:]:
        raise ValueError(f"predictions: expected at least one per sample, got shape {tuple(predictions.shape)}")
    if not predictions.is_floating_point():
        raise TypeError(f"predictions: expected a floating-point dtype, got {predictions.dtype}")
    if labels.dtype is torch.bool or labels.is_complex():
        raise TypeError(f"labels: expected real numbers, got {labels.dtype}")
    check_device("labels", labels, predictions.device)


def check_pair(predictions: Tensor, labels: Tensor) -> None:
    """Require two tensors of real numbers on one device; shapes are for the caller to look at."""
    for name, value in (("predictions", predictions), ("labels", labels)):
        _check_tensor(name, value)
        if value.dtype is torch.bool or value.is_complex():
            raise TypeError(f"{name}: expected real numbers, got {value.dtype}")
    check_device("labels", labels, predictions.device)


def check_table(name: str, table: Tensor, shape: tuple[int | str, ...], device: torch.device) -> None:
    """Require a floating-point tensor; ``shape`` has numbers, or names of dimensions of any size above 0."""
    _check_tensor(name, table)
    if not _has_shape(table, shape):
        raise ValueError(f"{name}: expected shape ({', '.join(map(str, shape))}), got {tuple(table.shape)}")
    if not table.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point dtype, got {table.dtype}")
    check_device(name, table, device)


def check_weights(weights: Tensor, n: int, device: torch.device) -> Tensor:
    """Require one floating-point weight per sample, shape (n,) or (n, 1), and return shape (n,)."""
    _check_tensor("weights", weights)
    if tuple(weights.shape) not in ((n,), (n, 1)):
        raise ValueError(f"weights: expected shape ({n},), got {tuple(weights.shape)}")
    if not weights.is_floating_point():
        raise TypeError(f"weights: expected a floating-point dtype, got {weights.dtype}")
    check_device("weights", weights, device)
    return weights.reshape(n)


def check_device(name: str, tensor: Tensor, device: torch.device, *, like: str = "the other inputs") -> None:
    """Require a tensor to lie where the others lie."""
    if tensor.device != device:
        raise ValueError(f"{name}: expected device {device} like {like}, got {tensor.device}")


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")


def _has_shape(tensor: Tensor, shape: tuple[int | str, ...]) -> bool:
    return tensor.ndim == len(shape) and all(
        size > 0 if isinstance(one, str) else one == size for one, size in zip(shape, tensor.shape, strict=True)
    )
