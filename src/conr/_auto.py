"""Settings that may be "auto": numbers in label units that follow from the training labels when training starts."""

from typing import Final, Literal, TypeVar

AUTO: Final = "auto"

Auto = Literal["auto"]

AUTOMATIC = (
    *("window", "temperature", "distance_scale", "label_range", "low", "high", "bin_width", "noise_scale", "delta"),
    *("error_scale", "num_features"),
)
"""Settings of criteria and regularizers that may be "auto"; so may the coefficient of a `Regularizer`."""

T = TypeVar("T", int, float)


def given(value: T | Auto) -> T | int:
    """The number; 1 in the place of "auto", for the checks of a constructor, which refuse every other word."""
    return 1 if value == AUTO else value


def number(name: str, value: T | Auto) -> T:
    """The number.

    Raises:
        ValueError: it is still "auto"; the message says what to do.
    """
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004  a word that its argument takes
            f"{name}: expected a number, got {value!r}; RegressionModule, AddRegularizers and ConRRegressor set one "
            "from the training labels, in your own loop call conr.methods.resolve(module, labels, bins) first"
        )
    return value
