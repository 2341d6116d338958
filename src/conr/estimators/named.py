"""Estimators by the names that `conr table fit --model` takes."""

import difflib
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from conr._extras import require
from conr.estimators.encoded import EncodedRegressor
from conr.estimators.rare_regressor import RareRegressor
from conr.estimators.regressor import ConRRegressor
from conr.estimators.support import chosen_device

NAMES = ("rare", "boosting", "conr")


def meant_regressor(settings: Collection[str], *, targets: int = 1) -> str:
    """Name of the estimator where none is given: "rare", or "conr" for several targets and for settings of it alone.

    Args:
        settings: names of arguments that are given.
        targets: how many.
    """
    rare, network = (set(one._get_param_names()) for one in (RareRegressor, ConRRegressor))
    is_of_network = not rare.issuperset(settings) and network.issuperset(settings)
    return "conr" if targets > 1 or is_of_network else "rare"


def named_regressor(
    name: str, settings: Mapping[str, Any], *, random_state: int | None = None
) -> RareRegressor | ConRRegressor:
    """The estimator of a name, unfitted.

    Args:
        name: "rare" (`RareRegressor`), "boosting" (the same without networks), "conr" (`ConRRegressor`), or the path of
            a class, as "sklearn.ensemble.ExtraTreesRegressor": a `RareRegressor` whose candidate it is.
        settings: arguments of the estimator, of a class by path its own.
        random_state: of the estimator, where the settings have none.

    Raises:
        ImportError: a package of it is not installed.
        TypeError: an argument that there is not.
        ValueError: an unknown name, or an argument outside its range.
    """
    if name == "conr":
        network = ConRRegressor(**{"random_state": random_state, **settings})
        network._check_settings()
        chosen_device(network.device)
        return network
    require(f"the model {name!r}", "skops")  # before a training that could not be saved
    if name in {"rare", "boosting"}:
        candidates = {"candidates": "boosting"} if name == "boosting" else {}
        blend = RareRegressor(**{**candidates, "random_state": random_state, **settings})
        blend._check_settings()
        return blend
    module, _, own = name.rpartition(".")
    if not module:
        near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"model: expected one of {', '.join(map(repr, NAMES))} or a class's path, got {name!r}{hint}")
    try:
        found = getattr(import_module(module), own)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"model: expected the path of a class, got {name!r}: {error}") from error
    if not (isinstance(found, type) and hasattr(found, "fit") and hasattr(found, "predict")):
        raise ValueError(f"model: expected a class with fit and predict, got {name!r}")
    if own in {ConRRegressor.__name__, RareRegressor.__name__}:
        raise ValueError(f"model: expected {' or '.join(map(repr, NAMES))} for the models of conr, got {name!r}")
    return RareRegressor({own: EncodedRegressor(found(**settings))}, random_state=random_state)
