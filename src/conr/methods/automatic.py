"""Numbers in the place of "auto", in modules and in configurations."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from conr._auto import AUTO, AUTOMATIC
from conr.density import Bins
from conr.density.suggestions import automatic_settings
from conr.methods.hooks import hooks_of


def resolve(
    part: nn.Module, labels: Tensor, bins: Bins, *, batch_size: int = 64, num_features: int | None = None
) -> dict[str, float]:
    """Replace each setting of a module that is "auto" by the number that follows from the training labels.

    For training loops of your own; `conr.training.RegressionModule`, `conr.training.AddRegularizers` and
    `conr.estimators.ConRRegressor` do it when training starts.

    Args:
        part: a criterion or regularizer, such as ``ConRLoss(window="auto")``; changed in place.
        labels: of training, shape (n,) or (n, k), in the unit that the module will see.
        bins: of the labels.
        batch_size: inputs per batch, at least 2.
        num_features: d of the features, for SRL.

    Returns:
        The numbers, by the name of the setting; empty if nothing was "auto".

    Raises:
        TypeError, ValueError: as `conr.density.suggest_settings`.

    Example:
        >>> import torch
        >>> from conr import ConRLoss
        >>> regularizer = ConRLoss(window="auto", distance_scale="auto")
        >>> ages = torch.arange(1.0, 101.0).repeat(5)
        >>> resolve(regularizer, ages, Bins.by_width(width=1, low=1, high=101))
        {'window': 1.0, 'distance_scale': 0.01}
    """
    if not is_automatic(part):
        return {}
    numbers = automatic_settings(labels, bins, batch_size=batch_size)
    return put_numbers(part, numbers if num_features is None else numbers | {"num_features": num_features})


def is_automatic(part: nn.Module) -> bool:
    """Tell whether a setting of a module or of its submodules waits for the training labels."""
    return any(_waiting(module) for module in part.modules())


def put_numbers(part: nn.Module, numbers: Mapping[str, float]) -> dict[str, float]:
    """Replace settings that are "auto" by the numbers of their names; returns those that were put, by name."""
    found = {}
    for path, module in part.named_modules():
        waiting = _waiting(module) & numbers.keys()
        for name in numbers:
            if name in waiting:
                setattr(module, name, numbers[name])
                found[f"{path}.{name}" if path and path != name else name] = numbers[name]
        if waiting:
            hooks_of(module).resolved()
    return found


def put_numbers_in(config: Any, numbers: Mapping[str, float]) -> Any:
    """A copy of a configuration in which settings that are "auto" have the numbers of their names."""
    if isinstance(config, Mapping):
        return {
            name: numbers[name] if value == AUTO and name in numbers else put_numbers_in(value, numbers)
            for name, value in config.items()
        }
    return [put_numbers_in(one, numbers) for one in config] if isinstance(config, list) else config


def _waiting(module: nn.Module) -> set[str]:
    return {name for name in AUTOMATIC if vars(module).get(name) == AUTO}
