"""Result of a finished run: ``result.json``."""

import json
import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from conr.density.regions import GROUPS, REGIONS
from conr.runs.atomic import write_text
from conr.runs.reading import read_json, without_nan
from conr.runs.schema import Within, check

SCHEMA = "conr.result/1"
RESULT = "result.json"

_NUMBER = (float, None)
_COUNT = range(2**63)
_HOW_MANY = Within(whole=True)  # as tensors count, 3.0
_ERRORS = ("mae", "mse", "rmse", "gm", "bmae", "brmse", "abs_rel", "log10", "delta1", "delta2", "delta3", "angular")
"""Metrics of this package that are never negative; a dataset may have others."""
_METRICS: dict[Any, Any] = {
    "count": (_HOW_MANY, None),
    **{f"{name}?": (Within(), None) for name in _ERRORS},
    ...: _NUMBER,
}
_KIND = {
    "schema": SCHEMA,
    "dataset": str,
    "method": str,
    "seed": (int, None),
    "label": {"name": str, "unit": str, "dimensions?": [str], ...: object},
    "bins": {"edges": [[float]], "train_counts": [_HOW_MANY], "regions": [REGIONS], ...: object},
    "headline": str,
    "metrics": dict.fromkeys(GROUPS, _METRICS) | {...: object},
    "checkpoint": {"path": (str, None), "epoch": (_COUNT, None), "monitor": (str, None), "value": _NUMBER, ...: object},
    "epochs": _COUNT,
    "train_seconds": Within(),
    "versions": dict,
    "hardware": dict,
    "created": str,
    "peak_memory?": (_COUNT, None),
    ...: object,
}


@dataclass(frozen=True)
class RunResult:
    """Measurements of one run on its test split, and how they came about; the content of ``result.json``.

    Args:
        dataset: name of the dataset.
        method: name of the method in tables.
        seed: the run's seed; None if it was not fixed.
        label: ``name`` and ``unit`` of the label; the unit may be empty. ``dimensions`` may name each of several.
        bins: ``edges`` (one list per label dimension), ``train_counts`` and ``regions`` ("many", "median", "few"), the
            last two with one entry per bin, the last label dimension fastest.
        headline: the metric that summaries compare, "mae" for most datasets.
        metrics: for "all", "many", "median" and "few": ``count``, the headline and others, as the dataset defines them,
            in label units; NaN where undefined, as in a region without test samples.
        checkpoint: ``path`` (relative to the run's folder if inside) and ``epoch`` of what was tested, and the
            ``value`` of the validation metric ``monitor`` that chose it.
        epochs: number of epochs trained.
        train_seconds: time of training with validation, over all parts of a resumed run.
        versions: of the packages that matter.
        hardware: ``device``, ``threads``, ``platform``.
        created: time of the test, ISO 8601 with offset.
        peak_memory: the most memory that training took at a time, in bytes, as `conr.training.memory` measures it; None
            if unknown.
    """

    dataset: str
    method: str
    seed: int | None
    label: dict[str, Any]
    bins: dict[str, Any]
    headline: str
    metrics: dict[str, dict[str, float]]
    checkpoint: dict[str, Any]
    epochs: int
    train_seconds: float
    versions: dict[str, str]
    hardware: dict[str, Any]
    created: str
    peak_memory: int | None = None

    def content(self) -> dict[str, Any]:
        """The result as JSON takes it, which has no NaN or infinity: both become null."""
        content: dict[str, Any] = without_nan({"schema": SCHEMA, **asdict(self)})
        return content

    @classmethod
    def from_content(cls, content: Any, source: object) -> Self:
        """Make a result of what `content` gives; null metrics become NaN. Messages call the file ``source``.

        Raises:
            ValueError: another schema, a missing key, or a value of another kind; the message names file and key.
        """
        check(source, content, _KIND)
        _check_sizes(content, source)
        content["metrics"] = {
            group: {name: math.nan if value is None else value for name, value in content["metrics"][group].items()}
            for group in GROUPS
        }
        return cls(**{name: content[name] for name in cls.__dataclass_fields__ if name in content})

    def write(self, run_dir: Path) -> Path:
        """Write ``result.json`` into the run's folder, complete or not at all, and return its path.

        Raises:
            OSError: the file cannot be written.
        """
        text = json.dumps(self.content(), indent=1, allow_nan=False, ensure_ascii=False)
        return write_text(run_dir / RESULT, f"{text}\n")

    @classmethod
    def read(cls, run_dir: Path) -> Self:
        """Read ``result.json`` of a run's folder; see `from_content`.

        Raises:
            FileNotFoundError: the folder has no such file.
            ValueError: no complete JSON, or as `from_content`.
        """
        path = run_dir / RESULT
        if not path.is_file():
            raise FileNotFoundError(f"expected {RESULT} in {run_dir}, found none: has the run been tested?")
        return cls.from_content(read_json(path), path)


def _check_sizes(content: dict[str, Any], source: object) -> None:
    headline = content["headline"]
    for group in GROUPS:
        if headline not in content["metrics"][group]:
            raise ValueError(f"{source}: expected the key 'metrics.{group}.{headline}', found none")
    edges = content["bins"]["edges"]
    for one in edges:
        if len(one) < 2 or not all(low < high for low, high in pairwise(one)):
            raise ValueError(f"{source}: bins.edges: expected two or more increasing numbers, got {one!r:.80}")
    bins = math.prod(len(one) - 1 for one in edges)
    for name in ("train_counts", "regions"):
        if len(content["bins"][name]) != bins:
            found = content["bins"][name]
            raise ValueError(f"{source}: bins.{name}: expected {bins}, one per bin, got {len(found)}: {found!r:.80}")
