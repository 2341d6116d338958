"""Record of a run that failed: ``failure.json`` in its folder, beside its configuration."""

import json
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from conr.runs.atomic import write_text
from conr.runs.reading import read_json
from conr.runs.results import RESULT
from conr.runs.schema import check

FAILURE = "failure.json"
SCHEMA = "conr.failure/1"

_KIND = {
    "schema": SCHEMA,
    "dataset": str,
    "method": str,
    "seed": int,
    "error": str,
    "traceback": str,
    "created": str,
}


@dataclass(frozen=True)
class Failure:
    """Reason why a run has no result; the content of ``failure.json``.

    Args:
        dataset: name of the dataset.
        method: name of the method in tables.
        seed: the run's seed.
        error: what went wrong, in one line.
        traceback: where.
        created: when, ISO 8601 with offset.
    """

    dataset: str
    method: str
    seed: int
    error: str
    traceback: str
    created: str

    @classmethod
    def of(cls, error: BaseException, *, dataset: str, method: str, seed: int) -> Self:
        """Describe an exception."""
        text = str(error).strip()
        return cls(
            dataset=dataset,
            method=method,
            seed=seed,
            error=f"{type(error).__name__}: {text.splitlines()[0] if text else ''}".removesuffix(": "),
            traceback="".join(traceback.format_exception(error)),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def write(self, folder: Path) -> Path:
        """Write ``failure.json``, complete or not at all, into a run's folder, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, ensure_ascii=False)
        return write_text(folder / FAILURE, f"{text}\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the failure of a run's folder, None if its last attempt did not fail.

        Raises:
            ValueError: a file of another kind; the message names it.
        """
        path = folder / FAILURE
        if not path.is_file():
            return None
        content = read_json(path)
        check(path, content, _KIND)
        del content["schema"]
        return cls(**content)


def failed(folders: Sequence[Path]) -> list[tuple[Path, Failure]]:
    """The failures among the runs of these folders, in their order."""
    found = [(folder, Failure.read(folder)) for folder in folders]
    return [(folder, failure) for folder, failure in found if failure is not None]


def find_failures(paths: Iterable[Path]) -> list[tuple[Path, Failure]]:
    """The failures of all folders at or below the paths that have no result, with their folders, by folder."""
    folders = {file.parent for path in paths for file in Path(path).rglob(FAILURE)}
    return failed([folder for folder in sorted(folders) if not (folder / RESULT).is_file()])
