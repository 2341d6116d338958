"""The comparison of memories: its runs are those that the script plans, and the table is what they say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks.memory_on_digits import (
    EPOCHS,
    FORMS,
    PATH,
    PRESET_LR,
    SEEDS,
    TRIAL_SEED,
    arguments,
    chosen_rate,
    comparison,
    settings,
    trials,
)
from docs.memory_table import PLANNED
from docs.memory_table import comparison as table
from docs.tables import ROOT

from conr.methods.presets import preset_config
from conr.training.options import planned_data

PAGE = ROOT / "docs" / "methods" / "conr.md"


def key(run: dict[str, Any]) -> str:
    return json.dumps([run["form"], run["seed"], run["settings"]])


def test_the_committed_runs_are_those_that_the_script_plans() -> None:
    runs = json.loads(PATH.read_text())["runs"]
    tried = [run for run in runs if run["seed"] == TRIAL_SEED]
    assert [key(run) for run in tried] == [key(task) for task in trials()]
    assert not any("test" in run for run in tried)
    planned = [key(task) for task in comparison(chosen_rate(runs))]
    assert len(planned) == PLANNED == len(FORMS) * len(EPOCHS) * len(SEEDS)
    made = [key(run) for run in runs if run["seed"] != TRIAL_SEED]
    assert made == [task for task in planned if task in made]
    assert all(run["commit"] and run["versions"]["torch"] and run["processor_seconds"] > 0 for run in runs)


def test_forms_differ_in_the_memory_alone() -> None:
    given = {form: settings(form, 16, PRESET_LR) for form in FORMS}
    plain = given.pop("ConR")
    assert plain["coefficient"] == preset_config("rotated-digits-conr")["model"]["regularizers"]["conr"]["coefficient"]
    vanilla = given.pop("vanilla")
    assert [one["memory"] for one in given.values()] == [64, 512, 512]  # two views of 16 inputs
    for one in given.values():
        assert {name: value for name, value in one.items() if name not in {"memory", "momentum"}} == {
            **vanilla,
            "coefficient": plain["coefficient"],
        }
    assert [one.get("momentum") for one in given.values()] == [None, None, 0.99]


def test_the_chosen_rate_has_the_lowest_validation_error() -> None:
    runs = [{**task, "validation": {"all": value}} for task, value in zip(trials(), (3.0, 1.0, 2.0), strict=True)]
    assert chosen_rate([*runs, {**runs[0], "seed": 0, "validation": {"all": 0.0}}]) == PRESET_LR / 2


@pytest.mark.parametrize("form", FORMS)
def test_the_command_line_takes_the_arguments(form: str) -> None:
    words = arguments(settings(form, 16, 0.002), 3, "runs")
    assert planned_data(words[1:]).batch_size == 16


def test_the_settings_on_the_page_are_those_of_the_preset_with_a_memory(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    term = yaml.safe_load(block)["model"]["regularizers"]["conr"]
    term["loss"] = term["loss"]["init_args"]["regularizer"]
    assert term == preset_config("rotated-digits-conr")["model"]["regularizers"]["conr"]
    path = tmp_path / "memory.yaml"
    path.write_text(block)
    assert planned_data(["--config=rotated-digits-vanilla", f"--config={path}"]).name == "rotated-digits"


def test_the_table_has_means_of_seeds_that_all_forms_have_run(tmp_path: Path) -> None:
    def run(form: str, seed: int, few: float, memory: int) -> dict[str, Any]:
        errors = {"few": few, "all": few / 2}
        chosen = {"batch_size": 8, "epochs": 3, "lr": 0.01, "memory": memory}
        return {
            "form": form,
            "seed": seed,
            "settings": chosen,
            "validation": errors,
            "test": {**errors, "few": few + 1},
            "processor_seconds": 2.0 + memory,
        }

    path = tmp_path / "runs.json"
    runs = [run("a", 0, 2.0, 0), run("b", 0, 1.0, 4), run("a", 1, 4.0, 0), run("b", 1, 3.0, 4), run("a", 2, 0.0, 0)]
    path.write_text(json.dumps({"runs": runs}))
    made = table(path)
    assert "**Batches of 8**, 3 epochs, learning rate 0.01, seeds: 2." in made
    assert "| a | 0 | 3.00 ± 1.41 | 4.00 ± 1.41 | 1.50 ± 0.71 | 1.0 |" in made
    assert "| b | 4 | **2.00** ± 1.41 | **3.00** ± 1.41 | **1.00** ± 0.71 | 3.0 |" in made
    path.write_text(json.dumps({"runs": runs[:1] + runs[3:4]}))
    with pytest.raises(ValueError, match="expected a batch size with a seed that all forms have run"):
        table(path)
