"""The picture of few-shot against many-shot error."""

from collections.abc import Sequence
from typing import Any


def draw_tradeoff(many: Sequence[float], few: Sequence[float], names: Sequence[str], axes: Any = None) -> Any:
    """Draw few-shot against many-shot error as a line through named points; return matplotlib's axes.

    Args:
        many: errors of many-shot labels.
        few: errors of few-shot labels.
        names: of the points; the last of those at one place is written.
        axes: to draw on; new ones if None.
    """
    if axes is None:
        from matplotlib.figure import Figure  # noqa: PLC0415  a picture is not always wanted

        axes = Figure(layout="constrained").subplots()
    axes.plot(many, few, "o-", markerfacecolor="none")
    for place, name in {(x, y): name for x, y, name in zip(many, few, names, strict=True)}.items():
        axes.annotate(name, place, xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel="many-shot MAE", ylabel="few-shot MAE")
    return axes


def limit_names(limits: Sequence[float | None]) -> list[str]:
    """Limits on the loss of many-shot labels as a picture names them; None is no limit."""
    return ["no limit" if limit is None else f"{100 * limit:g} %" for limit in limits]
