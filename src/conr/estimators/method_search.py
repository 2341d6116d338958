"""A method for a table, by successive halving on validation rows."""

import math
import time
from dataclasses import replace
from typing import Any

from conr.estimators.fitting import Schedule
from conr.estimators.table_task import TableTask

METHODS = ("vanilla", "sqinv", "lds", "conr", "sqinv+conr")
"""Methods that "auto" chooses among."""

_FIRST_SHARE = 1 / 8  # of the epochs, in the first round; twice as many in each that follows


def search_method(task: TableTask, schedule: Schedule) -> tuple[str, list[dict[str, Any]]]:
    """The method with the lowest balanced validation error after trainings that become longer while methods drop out.

    Each round trains the methods that are left anew, each on a schedule of its own that ends with a small learning
    rate, and the better half goes on: five methods on an eighth of the epochs, two on a quarter. With the training of
    the winner that takes about as long as two trainings. Source: Jamieson and Talwalkar, "Non-stochastic Best Arm
    Identification and Hyperparameter Optimization", AISTATS 2016.

    Args:
        task: the table; its validation rows judge.
        schedule: of the training that follows. Of its time until the deadline the search takes half.

    Returns:
        The method, and a dict per training: ``round``, ``method``, ``epochs`` and ``bmae``, the mean over label bins of
        the validation error in standard deviations of the label.

    Raises:
        ValueError: no validation rows.
    """
    if task.validation is None:
        raise ValueError(
            'method: expected an eval_set with "auto", or rows enough for a validation part of ten or more, got neither'
        )
    half = time.monotonic() + schedule.seconds_left() / 2
    left, record = list(METHODS), []
    share, number = _FIRST_SHARE, 0
    while len(left) > 1:
        number += 1
        epochs = max(1, round(schedule.max_epochs * share))
        short = replace(schedule, max_epochs=epochs, report=None, deadline=half)
        errors: dict[str, float] = {}
        for method in left:
            if not errors or short.seconds_left() > 0:
                errors[method] = error = _error(task, method, short)
                record.append({"round": number, "method": method, "epochs": epochs, "bmae": error})
        left = sorted(errors, key=lambda method: errors[method])[: max(1, len(errors) // 2)]
        share *= 2
    return left[0], record


def _error(task: TableTask, method: str, schedule: Schedule) -> float:
    try:
        return task.balanced_error(task.trained(method, schedule).network)
    except FloatingPointError:
        return math.inf
