import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.runs.test_results import example

from conr.bench import Ablation, GridDataset, ablation_tasks, measure, write_ablation
from conr.bench.ablation import FACTORS, Plan, Point, all_tasks, read_factors
from conr.density.regions import GROUPS
from conr.report.aggregate import Spread

ABALONE = GridDataset("abalone", "abalone")


def test_factors_as_typed() -> None:
    assert read_factors(["window=0.5,1,2e0", "push=linear", "views=one,two"]) == {
        "window": [0.5, 1.0, 2.0],
        "push": ["linear"],
        "views": ["one", "two"],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["windows=1"], "grid: expected one of .*, got 'windows'; did you mean 'window'"),
        (["window"], "grid: expected numbers, as in window=0.5,1,2, got '' for window"),
        (["window=1,wide"], "got 'wide' for window"),
        (["window=inf"], "got 'inf' for window"),
        (["push=linaer"], "push: expected one of 'exp', 'linear', got 'linaer'; did you mean 'linear'"),
        (["window=1", "window=2"], "expected each factor once, got window twice"),
    ],
)
def test_what_is_no_factor(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_factors(words)


def test_one_factor_at_a_time_around_the_preset() -> None:
    """Abalone's preset has window 1, and leaves the push to the class: exp."""
    plan = ablation_tasks(ABALONE, "sqinv+conr", {"window": [2.0, 0.5], "push": ["linear", "exp"]}, 2)
    assert {name: list(values) for name, values in plan.items()} == {
        "window": [0.5, 1.0, 2.0],
        "push": ["exp", "linear"],
    }
    assert plan["window"][1.0] == plan["push"]["exp"]
    assert [task.name for task in plan["window"][0.5]] == ["sqinv+conr,window=0.5"] * 2
    assert plan["push"]["linear"][1].options == (("model.regularizers.conr.loss.init_args.push", "linear"),)
    tasks = all_tasks(plan)
    assert [task.seed for task in tasks] == [0] * 4 + [1] * 4
    assert len({(task.name, task.seed) for task in tasks}) == 8


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_reaches_the_run(name: str) -> None:
    """The flag parses, and the parsed configuration holds the value where the factor says."""
    from conr.training.command import _expand_presets, _PlannedCommand  # noqa: PLC0415

    value: Any = (FACTORS[name].words or (0.25,))[-1]
    (task,) = ablation_tasks(ABALONE, "conr", {name: [value]}, 1)[name][value]
    config: Any = _PlannedCommand(_expand_presets(task.arguments)).config
    for part in FACTORS[name].setting.split("."):
        config = config[part]
    assert config == value


@pytest.mark.parametrize("method", ["vanilla", "ranksim"])
def test_a_method_without_conr_has_nothing_to_vary(method: str) -> None:
    with pytest.raises(ValueError, match=f"method: expected one with ConR.*got '{method}' on abalone"):
        ablation_tasks(ABALONE, method, {"window": [1.0]}, 1)


def results(plan: Plan, root: Path) -> dict[Any, Path]:
    folders = {}
    for number, task in enumerate(all_tasks(plan)):
        folders[task] = root / str(number)
        folders[task].mkdir()
        values = {region: {"count": 4.0, "mae": 10.0 * number + task.seed} for region in GROUPS}
        example(dataset="abalone", method=task.name, seed=task.seed, metrics=values).write(folders[task])
    return folders


def test_numbers_are_means_over_the_seeds_that_have_a_result(tmp_path: Path) -> None:
    plan = ablation_tasks(ABALONE, "conr", {"window": [0.5]}, 2)
    folders = results(plan, tmp_path)  # seed 0: 0.5 has 0, 1 has 10; seed 1: 21 and 31
    ablation = measure(plan, folders)
    assert (ablation.dataset, ablation.method, ablation.metric) == ("abalone", "conr", "mae")
    low, high = ablation.factors["window"]
    assert (low.value, low.is_preset, high.value, high.is_preset) == (0.5, False, 1.0, True)
    few = low.errors["few"]
    assert (few.mean, few.low, few.high, few.seeds) == (10.5, 0.0, 21.0, 2)
    assert few.std == pytest.approx(21 / math.sqrt(2))
    assert high.errors["all"].mean == 20.5
    (folders[plan["window"][0.5][1]] / "result.json").unlink()
    (low, _) = measure(plan, folders).factors["window"]
    assert (low.errors["few"].mean, low.errors["few"].seeds) == (0.0, 1)
    with pytest.raises(FileNotFoundError, match="got none: all of them failed"):
        measure(plan, dict.fromkeys(folders, tmp_path))


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
    assert "1 (preset)</th><td>3</td><td>2.00 ± 0.50</td>" in page
    assert "\N{EN DASH}" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # it needs nothing else
    content = json.loads(written[1].read_text(), parse_constant=pytest.fail)
    assert content["schema"] == "conr.ablation/1"
    assert content["factors"]["window"][1]["is_preset"] is True
    assert content["factors"]["window"][1]["errors"]["few"]["mean"] == 2.0
    assert content["factors"]["window"][1]["errors"]["median"]["mean"] is None
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in written)
