"""What the start pages say in words about the demo is what its result files say."""

import re
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from docs.tables import ROOT

from conr.methods.presets import preset_config
from conr.runs.results import RunResult, find_runs

DEMO = ROOT / "results" / "demo"


def errors(dataset: str, method: str, region: str = "few") -> list[float]:
    folders = find_runs([DEMO / dataset / method])
    return [RunResult.read(folder).metrics[region]["mae"] for folder in folders]


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
    for folder in find_runs([DEMO]):
        dataset, method = folder.parents[1].name, folder.parent.name
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        assert not re.search(r"[ '\"]/\w", text)
        config, preset = yaml.safe_load(text), preset_config(f"{dataset}-{method}")
        assert config["trainer"]["max_epochs"] == preset["trainer"]["max_epochs"]
        model, wanted = config["model"], preset["model"]
        assert model["optimizer"]["init_args"]["lr"] == wanted["optimizer"]["init_args"]["lr"]
        for name, term in wanted.get("regularizers", {}).items():
            assert model["regularizers"][name]["coefficient"] == term["coefficient"]


def test_the_lead_of_the_untuned_demo_was_twice_as_large() -> None:
    runs = [RunResult.read(folder) for folder in find_runs([Path(f"{DEMO}-untuned")])]
    mean = {
        name: fmean(run.metrics["few"]["mae"] for run in runs if run.method == name) for name in ("vanilla", "conr")
    }
    lead = 1 - mean["conr"] / mean["vanilla"]
    assert 1.8 < 100 * lead / change("rotated-digits", "vanilla", "conr") < 2.3
