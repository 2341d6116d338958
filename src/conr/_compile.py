"""What torch.compile must not look into."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def outside_graphs(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Like ``torch.compiler.disable``, which loads the compiler at once: here only where something is compiled."""

    @functools.wraps(function)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        if torch.compiler.is_compiling():
            disabled: Callable[Arguments, Result] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            return disabled(*arguments, **options)
        return function(*arguments, **options)

    return run
