"""Settings that may be "auto": numbers in label units that follow from the training labels when training starts."""

from typing import Literal

AUTO = "auto"

Auto = Literal["auto"]


def given(value: float | Auto) -> float:
    """The number; 1 in the place of "auto", for the checks of a constructor."""
    return 1 if value == AUTO else value


def number(name: str, value: float | Auto) -> float:
    """The number.

    Raises:
        ValueError: it is still "auto"; the message says what to do.
    """
    if isinstance(value, str):
        raise ValueError(
            f"{name}: expected a number, got {value!r}; RegressionModule, AddRegularizers and ConRRegressor put one from "
            "the training labels, a loop of your own calls conr.methods.resolve(module, labels, bins) before it starts"
        )
    return value
