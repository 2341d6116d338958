"""Around a training: names of arguments, devices, random numbers, defaults of torch."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import wraps
from threading import Lock
from typing import Any

import torch

from conr._auto import AUTO
from conr._checks import check_number
from conr.estimators.fitting import Schedule
from conr.methods.lengths import automatic, default_batch_size, default_epochs, default_patience


def known_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Answer an unknown argument with the nearest; the signature stays what it is."""

    @wraps(init)
    def checked(self: Any, *arguments: Any, **settings: Any) -> None:
        check_names(type(self), settings)
        init(self, *arguments, **settings)

    return checked


def check_names(cls: type, settings: Mapping[str, Any]) -> None:
    """Require names of arguments of a class; others are answered with the nearest."""
    known = list(inspect.signature(cls).parameters)
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise TypeError(f"{cls.__name__}: expected one of its arguments, got {name!r}{hint}")


def training_schedule(settings: Any, rows: int, seed: int, started: float, *, to_end: bool = False) -> Schedule:
    """The schedule of an estimator's arguments, "auto" resolved.

    Args:
        settings: the estimator.
        rows: for training.
        seed: of the order of rows, and of all else that is random.
        started: time, as of `time.monotonic`, from which a time limit counts.
        to_end: whether there are no validation rows, which makes it longer.

    Raises:
        TypeError, ValueError: an argument outside its range; the message names it.
    """
    if settings.time_limit is not None:
        check_number("time_limit", settings.time_limit, low=0)
    batch_size = automatic("batch_size", settings.batch_size, default_batch_size(rows))
    usual = default_epochs(rows, batch_size, to_end=to_end)
    max_epochs = automatic("max_epochs", settings.max_epochs, usual)
    return Schedule(
        max_epochs=max_epochs,
        patience=automatic("patience", settings.patience, default_patience(max_epochs)),
        batch_size=batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        monitor=settings.monitor,
        seed=seed,
        report=print if settings.verbose else None,
        deadline=math.inf if settings.time_limit is None else started + settings.time_limit,
    )


def chosen_device(name: str) -> torch.device:
    """The device of a name; of "auto" a GPU if there is one.

    Raises:
        ValueError: no device of that name, or none here.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).item()  # a GPU that is not there says so now
    except (RuntimeError, TypeError, AssertionError) as error:  # AssertionError: torch without CUDA
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(f"device: expected 'auto' or one that computes here, got {name!r}: {reason}") from error
    return device


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers of torch from a seed; its global state is as before afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


_lock = Lock()
_set_aside: list[torch.dtype] = []  # the user's default, once per context that is open in any thread


@contextmanager
def own_defaults() -> Iterator[None]:
    """Torch's defaults as they come, float32 on the CPU; those that the user has set hold again afterwards."""
    with _lock:
        _set_aside.append(_set_aside[0] if _set_aside else torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
    try:
        with nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"):
            yield
    finally:
        with _lock:
            before = _set_aside.pop()
            if not _set_aside:
                torch.set_default_dtype(before)
