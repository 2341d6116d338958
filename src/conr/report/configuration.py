"""What the configurations of runs have in common and where they differ."""

import json
from typing import Any

import yaml

from conr.report.aggregate import DatasetRuns
from conr.runs.runs import Run

# What runs of one comparison differ in by design.
_IGNORED = ("seed_everything", "output.", "ckpt_path")


def configuration_text(run: Run) -> str | None:
    """The resolved configuration of a run as YAML, None if it kept none."""
    return None if run.config is None else yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)


def configuration_differences(group: DatasetRuns) -> dict[str, list[str]]:
    """Settings in which the methods differ, each with its value per method ("" where it is not set).

    The first run of a method stands for the method; see `unequal_runs` for the others.

    Raises:
        ValueError: a damaged configuration; the message names the file.
    """
    return _differences([_settings(runs[0]) for runs in group.methods.values()])


def unequal_runs(group: DatasetRuns) -> list[str]:
    """A sentence for each method whose runs differ in more than the seed."""
    sentences = []
    for method, runs in group.methods.items():
        found = _differences([_settings(run) for run in runs])
        if found:
            sentences.append(f"The runs of {method} differ in more than the seed: {', '.join(found)}.")
    return sentences


def _differences(configurations: list[dict[str, str]]) -> dict[str, list[str]]:
    # A run without a configuration is unknown, not different.
    known = [one for one in configurations if one]
    keys = sorted(set().union(*known))
    different = [key for key in keys if len({one.get(key, "") for one in known}) > 1]
    return {key: [one.get(key, "") for one in configurations] for key in different}


def _settings(run: Run) -> dict[str, str]:
    return {key: value for key, value in _flat(run.config, "").items() if not key.startswith(_IGNORED)}


def _flat(value: Any, key: str) -> dict[str, str]:
    if isinstance(value, dict):
        prefix = f"{key}." if key else ""
        return {name: text for part, inner in value.items() for name, text in _flat(inner, f"{prefix}{part}").items()}
    if value is None or value == []:  # as if not set
        return {}
    return {key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}
