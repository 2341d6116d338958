import json
import math
from pathlib import Path

import pytest
import yaml
from tests.runs.test_results import example

from conr.bench import Ablation, grid_tasks, measure, with_grid, write_ablation
from conr.bench.ablation import Point
from conr.density.regions import GROUPS
from conr.report.aggregate import Spread


def test_numbers_are_means_over_the_seeds_that_have_a_result(tmp_path: Path) -> None:
    """Seed 0: the preset has error 0, window 0.5 has 10; seed 1: 21 and 31."""
    tasks = with_grid(grid_tasks(["abalone"], ["conr"], 2), {"window": (0.5,)})
    folders = [tmp_path / str(number) for number in range(len(tasks))]
    for number, (task, folder) in enumerate(zip(tasks, folders, strict=True)):
        folder.mkdir()
        values = {region: {"count": 4.0, "mae": 10.0 * number + task.seed} for region in GROUPS}
        example(dataset="abalone", method=task.name, seed=task.seed, metrics=values).write(folder)
        term = {"loss": {"init_args": {"window": 0.2 + 0.1 * task.seed}}}
        (folder / "config.yaml").write_text(yaml.safe_dump({"model": {"regularizers": {"conr": term}}}))
    (ablation,) = measure(tasks, folders)
    assert (ablation.dataset, ablation.method, ablation.metric) == ("abalone", "conr", "mae")
    preset, changed = ablation.factors["window"]
    assert preset.value == pytest.approx(0.25)  # as in the runs
    assert preset.is_preset
    assert (changed.value, changed.is_preset) == (0.5, False)
    few = changed.errors["few"]
    assert (few.mean, few.low, few.high, few.seeds) == (20.5, 10.0, 31.0, 2)
    assert few.std == pytest.approx(21 / math.sqrt(2))
    assert preset.errors["all"].mean == 10.5
    for number in (0, 2):  # the preset's
        (folders[number] / "result.json").unlink()
    ((only,),) = (one.factors["window"] for one in measure(tasks, folders))
    assert (only.value, only.errors["few"].seeds) == (0.5, 2)
    assert measure(tasks, [tmp_path] * len(tasks)) == []


def test_pictures_numbers_and_page(tmp_path: Path) -> None:
    undefined = Spread(math.nan, math.nan, math.nan, math.nan, 0)

    def point(value: float | str, error: float, *, is_preset: bool = False) -> Point:
        known = Spread(error, 0.5, error - 1, error + 1, 3)
        return Point(value, is_preset, {"all": known, "many": known, "median": undefined, "few": known})

    factors = {
        "window": [point(0.1, 3.0), point(1.0, 2.0, is_preset=True), point(10.0, 4.0)],
        "push": [point("exp", 2.0, is_preset=True), point("linear", 2.5)],
        "beta": [Point(1.0, is_preset=False, errors=dict.fromkeys(GROUPS, undefined)), point(2.0, 1.0)],
    }
    ablation = Ablation("digits <b>", "conr", "mae", "degrees", factors)
    written = write_ablation(ablation, tmp_path / "new")
    assert [path.name for path in written] == ["ablation.html", "ablation.json", "window.png", "push.png", "beta.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[2:])
    page = written[0].read_text()
    assert page.count("<svg") == 3
    assert "digits &lt;b&gt;" in page
    assert "1 (preset)</th>\n<td>3</td>\n<td>2.00 ± 0.50</td>" in page
    assert "\N{EN DASH}" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs nothing else
    content = json.loads(written[1].read_text(), parse_constant=pytest.fail)
    assert content["schema"] == "conr.ablation/1"
    window = content["factors"]["window"][1]
    assert (window["value"], window["is_preset"]) == (1.0, True)
    assert (window["errors"]["few"]["mean"], window["errors"]["median"]["mean"]) == (2.0, None)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in written)
