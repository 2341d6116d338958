from pathlib import Path

import pytest

from conr.bench import grid_tasks, run_grid
from conr.runs.results import RunResult


@pytest.mark.slow
def test_conr_lowers_the_error_of_rare_digits_angles(tmp_path: Path) -> None:
    """The demo's claim with one seed and the whole training: about two minutes."""
    folders = run_grid(grid_tasks(["rotated-digits"], ["vanilla", "conr"], 1), tmp_path, jobs=2)
    vanilla, conr = (RunResult.read(folder).metrics for folder in folders)
    assert conr["few"]["mae"] < 0.95 * vanilla["few"]["mae"]
    assert conr["all"]["mae"] < vanilla["all"]["mae"]
