"""Arguments of the network for tables, checked before a table is read."""

import time
from typing import Any

from conr._auto import AUTO
from conr._checks import check_choice, check_flag, check_number
from conr.estimators.network import table_encoder
from conr.estimators.support import training_schedule
from conr.methods.lengths import automatic
from conr.methods.objective import criterion_kind
from conr.tables.encoding import Encoding

NEW_CATEGORIES = ("ignore", "error")


def check_network_settings(settings: Any) -> None:
    """Require arguments of `conr.estimators.ConRRegressor` in their ranges, as far as no table has a say.

    Raises:
        TypeError, ValueError: an argument outside its range; the message names it.
    """
    if "mlp" in str(settings.method).split("+"):
        raise ValueError(
            f"method: expected a training method, got {settings.method!r}, which names a network: for a plain one "
            "set members=1 and embedding='none'"
        )
    if settings.method != AUTO:
        criterion_kind(settings.method)
    check_choice("new_categories", settings.new_categories, NEW_CATEGORIES)
    for name in ("preprocess", "early_stopping"):
        check_flag(name, getattr(settings, name))
    check_number("few", settings.few, low=0)
    check_number("many", settings.many, low=settings.few)
    check_number("validation_fraction", settings.validation_fraction, low=0, open_low=True)
    if settings.validation_fraction > 0.5:
        raise ValueError(f"validation_fraction: expected a share of at most 0.5, got {settings.validation_fraction}")
    for name in ("window", "beta", "temperature", "distance_scale"):
        automatic(name, getattr(settings, name), 1)
    # Each checks what it is made of.
    training_schedule(settings, rows=1, seed=0, started=time.monotonic())
    table_encoder(settings.get_params(deep=False))
    Encoding(scaling=settings.scaling)
