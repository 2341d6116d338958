"""Deep imbalanced regression for PyTorch: the ConR contrastive regularizer and what it composes with."""

from typing import TYPE_CHECKING, Any

from conr.density import Bins, LabelDensity
from conr.losses import ConRLoss, conr_loss, conr_statistics

if TYPE_CHECKING:
    from conr.estimators import ConRRegressor as ConRRegressor

__version__ = "0.1.0"

__all__ = ["Bins", "ConRLoss", "LabelDensity", "__version__", "conr_loss", "conr_statistics"]


def __getattr__(name: str) -> Any:
    if name == "ConRRegressor":  # loads what the core does without
        from conr.estimators import ConRRegressor  # noqa: PLC0415

        return ConRRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
