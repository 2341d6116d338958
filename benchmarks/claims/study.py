"""What is compared on each dataset: its runs' common options, the searched settings, methods, bound and ablations."""

from typing import Any, NamedTuple

from conr.bench import GridDataset

Options = dict[str, Any]

MAIN = ("vanilla", "conr", "sqinv", "sqinv+conr")
OTHERS = ("lds", "fds", "ranksim", "bmc")
METHODS = (*MAIN, *(f"{method}{mix}" for method in OTHERS for mix in ("", "+conr")), "rrt", "conr+rrt")
MIXES = (
    "sqinv+fds",
    "sqinv+ranksim",
    "sqinv+rrt",
    "sqinv+fds+conr",
    "sqinv+ranksim+conr",
    "sqinv+conr+rrt",
    "lds+fds+conr",
    "lds+ranksim+conr",
)
"""Candidates for the best mix; each has one trial with what its parts chose."""

SEEDS, MAIN_SEEDS, FRONTIER_SEEDS, ABLATION_SEEDS = 3, 5, 2, 2
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
BOUND = "even"

_OPTIMIZER = "model.optimizer.init_args"
_DENSITY = "model.criterion_density.init_args"
_SMOOTHING = "model.smoothing.init_args"
_CONR = "model.regularizers.conr"
_RANKSIM = "model.regularizers.ranksim"
WINDOW = f"{_CONR}.loss.init_args.window"
WINDOWS = (1.0, 2.0, 3.0, 5.0, 10.0)
UNWEIGHTED: tuple[str, Options] = (
    "unweighted push",
    {f"{_CONR}.density.init_args.scheme": "power", f"{_CONR}.density.init_args.power": 0.0},
)
"""An ablation of ConR: every pushing and anchor weight is 1."""


class Finer(NamedTuple):
    """Values of a setting as factors of the best one so far."""

    setting: str
    factors: tuple[float, ...]


Stage = list[Options] | Finer
"""Trials that differ from the best of the stages before in one number each."""


def _values(setting: str, *values: Any) -> Stage:
    return [{setting: value} for value in values]


def _kernels(part: str, *sigmas: float) -> Stage:
    """Gaussian kernels that reach two deviations."""
    return [{f"{part}.sigma": sigma, f"{part}.kernel_size": 2 * round(2 * sigma) + 1} for sigma in sigmas]


def _powers(*powers: float) -> Stage:
    return [{f"{_DENSITY}.scheme": "power", f"{_DENSITY}.power": power} for power in powers]


_OF_CONR: list[Stage] = [
    [
        {WINDOW: 3.0, f"{_CONR}.loss.init_args.temperature": 0.3, f"{_CONR}.coefficient": one}
        for one in (0.1, 1.0, 10.0, 100.0)
    ],
    _values(WINDOW, 1.0, 5.0),
    _values(f"{_CONR}.loss.init_args.temperature", 0.1),
    Finer(f"{_CONR}.coefficient", (3.0,)),
]
TRIALS = 8
SEARCH: dict[str, list[Stage]] = {
    "vanilla": [
        _values(f"{_OPTIMIZER}.lr", 1e-3, 3e-4, 3e-3, 1e-2, 2e-3),
        _values(f"{_OPTIMIZER}.weight_decay", 1e-5, 1e-4, 1e-3),
    ],
    "sqinv": [_powers(0.5, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875, 1.0)],
    "lds": [_kernels(_DENSITY, 2, 1, 4, 8), _powers(0.25, 0.375, 0.75, 1.0)],
    "fds": [_kernels(_SMOOTHING, 2, 1, 4, 8), _values(f"{_SMOOTHING}.momentum", 0.5, 0.7, 0.97, 0.99)],
    "ranksim": [
        _values(f"{_RANKSIM}.coefficient", 100.0, 1.0, 10.0, 30.0, 300.0),
        _values(f"{_RANKSIM}.loss.init_args.interpolation", 2.0, 20.0, 1000.0),
    ],
    "bmc": [_values("model.criterion.init_args.noise_scale", 10.0, 1.0, 2.0, 4.0, 6.0, 8.0, 14.0, 20.0)],
    "rrt": [
        _values("rrt.power", 0.5, 0.25, 0.75, 1.0),
        _values("rrt.epochs", 3, 20, 40),
        [{"rrt.new_head": False}],
    ],
    "conr": _OF_CONR,
    "sqinv+conr": _OF_CONR,
    **{mix: [[{}]] for mix in MIXES},
}
"""Stages of trials, by method. A preset's own value is among them, first where a method has one number."""

SEARCHED = tuple(method for method in SEARCH if method not in MIXES)
WAVES = (("vanilla",), tuple(one for one in SEARCHED if one not in ("vanilla", "sqinv+conr")), ("sqinv+conr",), MIXES)
"""Methods that are searched at a time: later ones build on what earlier ones chose."""


class Study(NamedTuple):
    """A dataset and how all its runs are trained."""

    dataset: GridDataset
    even: Options
    """Options of the data that spread as many training labels evenly."""
    trial_epochs: int
    """Epochs of a trial of the search."""


def faces(root: str, *, epochs: int = 12, train_size: int = 12_000) -> Study:
    """UTKFace-DIR: part of its training pictures, drawn once with the imbalance kept, at 32 x 32."""
    options = {
        "data.root": root,
        "data.size": "32",
        "data.train_size": f"{train_size}",
        "trainer.max_epochs": f"{epochs}",
        "model.encoder.init_args.channels": "[16, 32, 64]",
    }
    found = GridDataset("utkface-dir", f"utkface-dir-{train_size}", tuple(options.items()))
    return Study(found, {"data.even": "true"}, trial_epochs=(epochs + 1) // 2)


def digits(*, epochs: int = 30) -> Study:
    """Rotated digits, as their presets train them."""
    options = (("trainer.max_epochs", f"{epochs}"),)
    return Study(GridDataset("rotated-digits", "rotated-digits", options), {"data.even": "true"}, trial_epochs=epochs)
