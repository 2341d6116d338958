"""Save a tested run: every kind of training writes the files of its test here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conr.runs.atomic import write_text
from conr.runs.folder import CONFIG
from conr.runs.history import write_history
from conr.runs.outputs import Outputs
from conr.runs.results import RunResult
from conr.runs.yaml_text import yaml_text


def save_run(
    folder: Path,
    result: RunResult,
    outputs: Outputs,
    *,
    config: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
) -> RunResult:
    """Write the files of a tested run into its folder, each complete or not at all, the result last.

    Args:
        folder: the run's; made if it is not there.
        result: measured on the test split; it is returned.
        outputs: predictions and features of the test split.
        config: resolved configuration; None if the run has written its own.
        history: what was logged per epoch, as `write_history` takes it; None if the run has written its own.

    Raises:
        ValueError: outputs whose shapes do not fit together.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outputs.write(folder)
    if config is not None:
        write_text(folder / CONFIG, yaml_text(config))
    if history is not None:
        write_history(folder, history)
    result.write(folder)
    return result
