"""Runs that are read for comparisons, from their folders or from a file of many runs.

A file of runs, ``NAME.runs.jsonl``, keeps results and configurations of many runs of one dataset as lines of JSON:

- ``{"schema": "conr.config/1", "method": ..., "config": {...}}``, the configuration of the runs of a method that
  follow, without their seed;
- ``{"schema": "conr.result/1", "run": "seed-S", ...}``, a run with the content of its ``result.json``.

Such a file stands for a folder: ``NAME.runs.jsonl/METHOD`` are its runs of one method.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from conr.runs.atomic import write_text
from conr.runs.folder import CONFIG, read_config
from conr.runs.history import read_history
from conr.runs.outputs import Outputs
from conr.runs.reading import MOST_BYTES, parse_json
from conr.runs.results import RESULT, SCHEMA, RunResult
from conr.runs.schema import check

SUFFIX = ".runs.jsonl"
CONFIG_SCHEMA = "conr.config/1"

_SEED = "seed_everything"
_CONFIG_KIND = {"schema": CONFIG_SCHEMA, "method": str, "config": dict}


@dataclass(frozen=True)
class Run:
    """A tested run.

    Args:
        folder: the run's; of one in a file of runs, ``FILE/METHOD/seed-S``, where nothing is.
        result: content of its ``result.json``.
        kept_config: configuration of a run in a file of runs; None for one in a folder.
    """

    folder: Path
    result: RunResult
    kept_config: dict[str, Any] | None = None

    @cached_property
    def outputs(self) -> Outputs | None:
        """Predictions and features of the test split, None if the run kept none.

        Raises:
            ValueError: a damaged file; the message names it.
        """
        try:
            return Outputs.read(self.folder)
        except FileNotFoundError:
            return None

    @cached_property
    def history(self) -> dict[str, list[tuple[int, float]]]:
        """Metrics per epoch; empty if the run logged none; see `read_history`."""
        return read_history(self.folder)

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The resolved configuration, None if the run kept none.

        Raises:
            ValueError: a damaged file; the message names it.
        """
        if self.kept_config is None and (self.folder / CONFIG).is_file():
            return read_config(self.folder)
        return self.kept_config


def read_runs(paths: Iterable[Path]) -> list[Run]:
    """Read all tested runs at or below some paths, each once, by folder.

    Args:
        paths: folders of runs or folders above, result files, files of runs, or such a file with a method as
            ``NAME.runs.jsonl/METHOD``.

    Raises:
        FileNotFoundError: a path that is not there, or no run in any of them.
        ValueError: a damaged file; the message names it.
    """
    searched = [Path(path) for path in paths]
    found = {run.folder.resolve(): run for path in searched for run in _at_or_below(path)}
    if not found:
        where = ", ".join(map(str, searched)) or "an empty list of paths"
        raise FileNotFoundError(f"expected at least one {RESULT}, as `conr test` writes it, found none in {where}")
    return sorted(found.values(), key=lambda run: run.folder)


def write_runs(path: Path, runs: Sequence[Run]) -> Path:
    """Write results and configurations of runs into one file, from which `read_runs` reads them; return its path.

    Outputs and histories are not kept.

    Args:
        path: the file, complete or not at all; `read_runs` finds it below a folder if it ends in ``.runs.jsonl``.
            Its folder is made.
        runs: of one dataset.

    Raises:
        ValueError: runs of several datasets, or a damaged configuration.
        OSError: the file cannot be written.
    """
    datasets = sorted({run.result.dataset for run in runs})
    if len(datasets) != 1:
        raise ValueError(f"{path}: expected runs of one dataset, got {', '.join(datasets) or 'none'}")
    lines: list[dict[str, Any]] = []
    written: dict[str, Any] = {}
    for run in runs:
        method, config = run.result.method, _without_seed(run)
        if config is not None and written.get(method) != config:
            written[method] = config
            lines.append({"schema": CONFIG_SCHEMA, "method": method, "config": config})
        lines.append({"schema": SCHEMA, "run": run.folder.name} | run.result.content())
    dumped = (json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_text(path, "".join(f"{line}\n" for line in dumped))


def _at_or_below(path: Path) -> Iterator[Run]:
    if path.is_dir():
        for result in path.rglob(RESULT):
            yield Run(result.parent, RunResult.read(result.parent))
        for file in path.rglob(f"*{SUFFIX}"):
            yield from _in_file(file)
    elif path.name == RESULT and path.is_file():
        yield Run(path.parent, RunResult.read(path.parent))
    elif path.is_file():
        yield from _in_file(path)
    elif path.parent.is_file():
        yield from (run for run in _in_file(path.parent) if run.result.method == path.name)
    else:
        raise FileNotFoundError(f"expected the folder of a run, or one above it, found nothing at {path}")


def _in_file(path: Path) -> Iterator[Run]:
    configs: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_BYTES), b""), start=1):
            source = f"{path}, line {number}"
            content = parse_json(source, line)
            schema = content.get("schema") if isinstance(content, dict) else None
            if schema == CONFIG_SCHEMA:
                check(source, content, _CONFIG_KIND)
                configs[content["method"]] = content["config"]
                continue
            check(source, content, {"schema": SCHEMA, "run": str, ...: object})
            result = RunResult.from_content(content, source)
            config = configs.get(result.method)
            if config is not None and _SEED not in config:
                config = {_SEED: result.seed} | config
            yield Run(path / f"./{result.method}/{content['run']}", result, config)


def _without_seed(run: Run) -> dict[str, Any] | None:
    config = run.config
    if config is None:
        return None
    kept = {name: value for name, value in config.items() if name != _SEED or value != run.result.seed}
    plain: dict[str, Any] = _plain(kept)
    return plain


def _plain(value: Any) -> Any:
    """A value of YAML as JSON has it: infinity, dates and the like become the texts that YAML reads as such."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
