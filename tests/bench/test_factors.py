from typing import Any

import pytest

from conr.bench import GridDataset, grid_tasks, read_grid, with_grid
from conr.bench.factors import AXES, Choices, Range, read_space
from conr.training.options import RunOptions, expand_presets

PUSH = "model.regularizers.conr.loss.init_args.push"


def test_values_and_ranges_as_typed() -> None:
    assert read_grid(["window=0.5,1,2e0", "push=linear", "views=one,two"]) == {
        "window": (0.5, 1.0, 2.0),
        "push": ("linear",),
        "views": ("one", "two"),
    }
    assert read_space(["window=0.5..4", "temperature=0.07,1e-1", "push=linear,exp", "weights=none,lds"]) == {
        "window": Range(0.5, 4.0),
        "temperature": Choices((0.07, 0.1)),
        "push": Choices(("linear", "exp")),
        "weights": Choices(("none", "lds")),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["windows=1"], "expected one of .*, got 'windows'; did you mean 'window'"),
        (["window"], "expected numbers, as in window=0.5,1,2, got '' for window"),
        (["window=1,wide"], "got 'wide' for window"),
        (["window=inf"], "got 'inf' for window"),
        (["push=linaer"], "push: expected one of 'exp', 'linear', got 'linaer'; did you mean 'linear'"),
        (["window=1", "window=2"], "expected each name once, got window twice"),
    ],
)
def test_other_words_are_named(words: list[str], message: str) -> None:
    for read in (read_grid, read_space):
        with pytest.raises(ValueError, match=message):
            read(words)


@pytest.mark.parametrize("text", ["2..1", "0..1", "1..wide", "wide..1"])
def test_ranges_lead_up_from_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected (LOW..HIGH with 0 < LOW < HIGH|numbers)"):
        read_space([f"window={text}"])
    with pytest.raises(ValueError, match="grid: expected numbers"):
        read_grid([f"window={text}"])


def test_one_setting_at_a_time_around_each_preset_with_conr() -> None:
    """Abalone's preset has window 1, and leaves the push to the class: exp."""
    tasks = grid_tasks(["abalone"], ["vanilla", "hgb", "sqinv+conr"], 2)
    varied = with_grid(tasks, {"window": (2.0, 1.0, 0.5), "push": ("linear", "exp")})
    assert [task.name for task in varied if task.seed == 1] == [
        *("vanilla", "hgb", "sqinv+conr"),
        *("sqinv+conr,window=2", "sqinv+conr,window=0.5", "sqinv+conr,push=linear"),
    ]
    assert [task.seed for task in varied] == [0] * 6 + [1] * 6
    assert varied[-1].options == ((PUSH, "linear"),)
    with pytest.raises(ValueError, match=r"grid: expected a method with ConR.*got vanilla, ranksim"):
        with_grid(grid_tasks(["abalone"], ["vanilla", "ranksim"], 1), {"window": (1.0,)})


def test_every_factor_reaches_the_run() -> None:
    """The flag parses, and the parsed configuration holds the value where the factor says."""
    dataset = GridDataset("abalone", "abalone")
    for name, factor in AXES.items():
        value: Any = (factor.words or (0.25,))[-1]
        method = {"power": "sqinv+conr", "sampling": "balanced-sampling"}.get(name, "conr")
        *_, task = with_grid(grid_tasks([dataset], [method], 1), {name: (value,)})
        config: Any = RunOptions(expand_presets(task.arguments)).config
        for part in factor.setting.split("."):
            config = config[part]
        assert config == value


def test_weights_from_none_to_inverse_counts_with_and_without_conr() -> None:
    tasks = grid_tasks(["abalone"], ["vanilla", "sqinv", "lds+conr", "inv"], 1)
    varied = with_grid(tasks, {"power": (0.0, 0.5, 1.0)})
    assert [task.name for task in varied] == [
        *("vanilla", "sqinv", "sqinv,power=0", "sqinv,power=1"),
        *("lds+conr", "lds+conr,power=0", "lds+conr,power=1"),
        *("inv", "inv,power=0", "inv,power=0.5"),
    ]
    density = "model.criterion_density.init_args"
    assert varied[2].options == ((f"{density}.scheme", "power"), (f"{density}.power", 0.0))
    with pytest.raises(ValueError, match=r"grid: expected a method with weights by counts, .*got conr"):
        with_grid(grid_tasks(["abalone"], ["conr"], 1), {"power": (1.0,)})
    with pytest.raises(ValueError, match=r"grid: expected a method with balanced sampling, .*got sqinv"):
        with_grid(grid_tasks(["abalone"], ["sqinv"], 1), {"sampling": (1.0,)})
