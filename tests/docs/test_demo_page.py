"""What the start pages say in words about the demo is what its result files say."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest
from docs.tables import ROOT

from conr.methods.presets import preset_config
from conr.runs.runs import Run, read_runs

DEMO = ROOT / "results" / "demo"


def errors(dataset: str, method: str, region: str = "few") -> list[float]:
    return [run.result.metrics[region]["mae"] for run in read_runs([DEMO]) if named(run) == (dataset, method)]


def named(run: Run) -> tuple[str, str]:
    return run.result.dataset, run.result.method


def change(dataset: str, one: str, two: str, region: str = "few") -> int:
    """Percent by which the mean error falls."""
    return round(100 * (1 - fmean(errors(dataset, two, region)) / fmean(errors(dataset, one, region))))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/demo.md"])
def test_both_changes_are_those_of_the_runs(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert f"by {change('rotated-digits', 'vanilla', 'conr')} %" in text
    assert f"by {change('rotated-digits', 'vanilla', 'sqinv')} %" in text


def test_conr_is_better_in_every_run_alone_and_not_in_every_run_with_weights() -> None:
    pairs = list(zip(errors("rotated-digits", "conr"), errors("rotated-digits", "vanilla"), strict=True))
    assert len(pairs) == 3
    assert all(one < two for one, two in pairs)
    assert all(change("rotated-digits", "vanilla", "conr", region) > 0 for region in ("all", "many", "median"))
    mixed = zip(errors("rotated-digits", "sqinv+conr"), errors("rotated-digits", "sqinv"), strict=True)
    assert {one < two for one, two in mixed} == {True, False}
    assert f"{change('rotated-digits', 'sqinv', 'sqinv+conr')} % on average" in (ROOT / "docs/demo.md").read_text()


def test_the_demo_ran_with_the_presets_and_names_no_folder_of_a_machine() -> None:
    for run in read_runs([DEMO]):
        config, preset = run.config, preset_config("-".join(named(run)))
        assert config is not None
        assert not re.search(r"[ '\"]/\w", json.dumps(config))
        assert config["trainer"]["max_epochs"] == preset["trainer"]["max_epochs"]
        model, wanted = config["model"], preset["model"]
        assert model["optimizer"]["init_args"]["lr"] == wanted["optimizer"]["init_args"]["lr"]
        for name, term in wanted.get("regularizers", {}).items():
            assert model["regularizers"][name]["coefficient"] == term["coefficient"]


def test_the_lead_of_the_untuned_demo_was_twice_as_large() -> None:
    runs = [run.result for run in read_runs([Path(f"{DEMO}-untuned")])]
    mean = {
        name: fmean(run.metrics["few"]["mae"] for run in runs if run.method == name) for name in ("vanilla", "conr")
    }
    lead = 1 - mean["conr"] / mean["vanilla"]
    assert 1.8 < 100 * lead / change("rotated-digits", "vanilla", "conr") < 2.3
