"""How random input is drawn and judged: a few examples by default, many in the slow target, always the same ones."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import conr

SOURCE = Path(conr.__file__).parent


def examples(few: int, many: int) -> pytest.MarkDecorator:
    """Run a test with ``few`` examples, and in the slow target with ``many``; its argument is ``examples``."""
    return pytest.mark.parametrize(
        "examples", [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.slow)]
    )


def search(check: Callable[..., None], examples: int, **strategies: st.SearchStrategy[Any]) -> None:
    """Call a check with so many drawn inputs, which follow from its source alone: no database, no clock."""
    configured = settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    configured(given(**strategies)(check))()


class Refused:
    """The input was refused with a documented error."""

    def __init__(self, message: str) -> None:
        self.message = message


def attempt(call: Callable[[], Any], documented: tuple[type[Exception], ...] = (ValueError, TypeError)) -> Any:
    """What a call gives, or `Refused` if it raises a documented error.

    Such an error is raised by conr itself, not by what it calls, and says what was expected.

    Args:
        call: without arguments.
        documented: types of errors that count as a refusal.
    """
    try:
        return call()
    except documented as caught:
        error = caught
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    assert raised_in.is_relative_to(SOURCE), f"{type(error).__name__} from {raised_in}: {error}"
    assert "expect" in str(error), f"{type(error).__name__} without what was expected: {error}"
    return Refused(str(error))
