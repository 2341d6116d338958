"""Metrics as a terminal shows them: a row per metric, a column per shot region."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text
from torch import Tensor

from conr.density.regions import GROUPS, REGIONS


def metrics_by_region(logged: Mapping[str, Tensor | float], prefix: str) -> dict[str, dict[str, float]]:
    """Sort flat metrics: of "all" and of each shot region, numbers by name.

    Args:
        logged: ``{prefix}NAME`` and ``{prefix}NAME_REGION`` to scalars; other keys are left out.
        prefix: such as ``"test/"``.
    """
    by_region: dict[str, dict[str, float]] = {group: {} for group in GROUPS}
    for key, value in logged.items():
        name = key.removeprefix(prefix)
        metric, _, region = name.rpartition("_")
        if name == key:
            continue
        if region in REGIONS:
            by_region[region][metric] = float(value)
        else:
            by_region["all"][name] = float(value)
    return by_region


def metrics_table(logged: Mapping[str, Tensor | float], prefix: str, *, title: str) -> Table:
    """The metrics of one run as `rich.console.Console.print` shows them; arguments as for `metrics_by_region`."""
    by_region = metrics_by_region(logged, prefix)
    table = Table(title=Text(title, style="table.title"), title_justify="left")
    table.add_column("metric")
    for region in by_region:
        table.add_column(region, justify="right")
    for name in by_region["all"]:
        table.add_row(name, *(_number(name, values.get(name)) for values in by_region.values()))
    return table


def _number(name: str, value: float | None) -> str:
    if value is None or value != value:  # noqa: PLR0124  NaN: undefined in this region
        return "\N{EN DASH}"
    return f"{value:.0f}" if name == "count" else f"{value:.4g}"
