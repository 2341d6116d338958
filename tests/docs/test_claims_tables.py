"""Tables and pictures of the parts of a study, from files in the form that the benchmark leaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.claims.records import DYNAMICS
from benchmarks.claims.study import UNWEIGHTED, WINDOWS

from conr.runs.runs import SUFFIX, Run, read_runs, write_runs
from docs import claims_tables

FACES = Path(__file__).parents[2] / "results" / "claims" / "faces"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Ablations made of the committed run of ConR, each with another error, and frontiers of three strengths."""
    run = next(one for one in read_runs([FACES]) if one.result.method == "conr")
    variants = [f"conr,{name}" for name in (*(f"window={window:g}" for window in WINDOWS), UNWEIGHTED[0])]
    runs = []
    for number, method in enumerate(variants):
        metrics = {group: values | {"mae": 10.0 + number} for group, values in run.result.metrics.items()}
        runs.append(Run(run.folder, replace(run.result, method=method, metrics=metrics)))
    write_runs(tmp_path / f"ablations{SUFFIX}", runs)
    write_runs(tmp_path / f"frontiers{SUFFIX}", runs)
    dynamics = {method: {"seed-0": {"features": {"rank_correlation": 0.25}}} for method in variants}
    (tmp_path / f"ablations-{DYNAMICS}").write_text(json.dumps({"runs": dynamics}))
    curve = [{"value": value, "many": 5 + value, "few": 20 - value} for value in (0.0, 0.5, 1.0)]
    for axis in claims_tables.FRONTIERS:
        (tmp_path / axis).mkdir()
        content = {"without": curve, "beside": curve, "gain": 1.25}
        (tmp_path / axis / "frontier.json").write_text(json.dumps(content))
    return tmp_path


def test_ablations_have_a_row_per_variant(study: Path) -> None:
    rows = claims_tables.ablations(study).splitlines()[2:]
    assert len(rows) == len(WINDOWS) + 1
    assert rows[1] == "| window=2 | 1 | 11.00 | 11.00 | 11.00 | 11.00 | 0.250 |"


def test_a_frontier_has_a_row_per_kind_of_reweighting_and_choice_of_conr(study: Path) -> None:
    rows = claims_tables.frontier(study).splitlines()[2:]
    assert len(rows) == 2 * len(claims_tables.FRONTIERS)
    assert rows[0].endswith("| without ConR | 5.00 / 20.00, 5.50 / 19.50, 6.00 / 19.00 |  |")
    assert rows[1].endswith("| with ConR as chosen beside weights | 5.00 / 20.00, 5.50 / 19.50, 6.00 / 19.00 | 1.25 |")
    (study / "sampling" / "frontier.json").unlink()  # not run yet
    assert claims_tables.frontier(study).splitlines()[2:] == rows[:2]
    alone = study / "alone-power"
    alone.mkdir()
    (alone / "frontier.json").write_text((study / "power" / "frontier.json").read_text().replace("1.25", "2.5"))
    (row,) = claims_tables.frontier(study).splitlines()[4:]
    assert "with ConR as chosen alone" in row
    assert row.endswith("| 2.50 |")


def test_pictures_are_drawn_of_the_parts_that_have_been_run(study: Path, tmp_path: Path) -> None:
    names = [file.name for file in claims_tables.draw(study, tmp_path / "out")]
    assert names == [f"{study.name}-windows.png", f"{study.name}-frontiers.png"]
    assert all((tmp_path / "out" / name).stat().st_size > 5000 for name in names)
    runs = tmp_path / claims_tables.FRONT
    runs.mkdir()
    for name in (f"runs{SUFFIX}", DYNAMICS):
        shutil.copy(FACES / name, runs / name)
    assert len(claims_tables.draw(runs, tmp_path / "pictures")) == 4
