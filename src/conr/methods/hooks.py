"""Events of a training that its parts can react to."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from conr.density import Bins


class Hooks(Protocol):
    """Methods that a criterion, head, regularizer or smoothing may have; each of them is optional.

    A part of your own has those that it needs, by these names, and inherits from nothing: `hooks_of` fills the rest.
    """

    def fit(self, labels: Tensor, bins: Bins) -> object:
        """Learn from the training labels (n,) or (n, k) and their bins, before anything else."""

    def resolved(self) -> object:
        """Take note that attributes which were "auto" have become numbers; see `conr.methods.resolve`."""

    def set_progress(self, share: float) -> object:
        """Learn, as an epoch begins, the share of all epochs that will be done when it ends, in (0, 1]."""

    def on_train_epoch_end(self) -> object:
        """Close the books of an epoch."""


@runtime_checkable
class FitsInputs(Protocol):
    """An encoder that sizes and scales itself by the training inputs, as one for tables does."""

    def fit_inputs(self, inputs: Tensor) -> object:
        """Learn from the inputs of all training samples, stacked."""


class _AllHooks(NamedTuple):
    fit: Callable[[Tensor, Bins], object]
    resolved: Callable[[], object]
    set_progress: Callable[[float], object]
    on_train_epoch_end: Callable[[], object]


def hooks_of(part: nn.Module | None) -> Hooks:
    """All hooks of a part: its own methods, and such as do nothing in the place of those that it lacks."""
    return _AllHooks(*(getattr(part, name, _nothing) for name in _AllHooks._fields))


def _nothing(*arguments: Any) -> None:
    del arguments
