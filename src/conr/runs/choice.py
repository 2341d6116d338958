"""Choice of a model among its candidates, and the width of its intervals: ``choice.json`` beside ``result.json``."""

import json
from pathlib import Path
from typing import Any

from conr.density.regions import GROUPS
from conr.runs.atomic import write_text
from conr.runs.reading import read_json, without_nan
from conr.runs.schema import Within, check

CHOICE = "choice.json"

_SCHEMA = "conr.choice/1"
_ERROR = (Within(), None)
_SHARE = Within(high=1)
_ERRORS = (*GROUPS, "bmae")
_KIND = {
    "schema": _SCHEMA,
    "objective": str,
    "leaderboard": [{"name": str, **dict.fromkeys(_ERRORS, _ERROR), "weight": Within(), "seconds": Within()}],
    "tradeoff": {"limit": [_ERROR], **{name: [_ERROR] for name in _ERRORS}, "chosen": range(2**31)},
    "unfinished": [str],
    "coverage": _SHARE,
    "intervals": {
        group: {"count": Within(whole=True), "coverage": (_SHARE, None), "set_width": _ERROR, "width": _ERROR}
        for group in GROUPS
    },
}


def write_choice(
    folder: Path,
    *,
    objective: str,
    leaderboard: list[dict[str, Any]],
    tradeoff: dict[str, Any],
    unfinished: list[str],
    coverage: float,
    intervals: dict[str, dict[str, float]],
) -> Path:
    """Write ``choice.json`` into a run's folder, complete or not at all, and return its path.

    Args:
        folder: the run's.
        objective: what the choice lowered.
        leaderboard: rows as of `conr.estimators.RareRegressor`.
        tradeoff: columns of its frontier by name.
        unfinished: candidates that were left out.
        coverage: that intervals aim at.
        intervals: by region, what they reach on test rows.

    Raises:
        OSError: the file cannot be written.
    """
    content = {
        "schema": _SCHEMA,
        "objective": objective,
        "leaderboard": leaderboard,
        "tradeoff": tradeoff,
        "unfinished": unfinished,
        "coverage": coverage,
        "intervals": intervals,
    }
    return write_text(folder / CHOICE, f"{json.dumps(without_nan(content), indent=1, ensure_ascii=False)}\n")


def read_choice(folder: Path) -> dict[str, Any] | None:
    """The content of ``choice.json``, null for what is undefined; None if the run has none.

    Raises:
        ValueError: a damaged file; the message names it.
    """
    path = folder / CHOICE
    if not path.is_file():
        return None
    content: dict[str, Any] = read_json(path)
    check(path, content, _KIND)
    return content
