"""The Triton engine in a process of its own, where Triton interprets its kernels on the CPU.

Triton decides how kernels run when it is loaded, so the tests' own process, where it may be loaded already, cannot.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

Run = Callable[..., Any]
"""Calls a function of a test module, with its arguments, in the other process."""


def _start() -> None:
    torch.set_num_threads(1)
    from triton.runtime import interpreter  # noqa: PLC0415 - only where it interprets

    patch, patched = interpreter._patch_lang, set()

    def call(function: Any, *arguments: Any, **options: Any) -> Any:
        module = function.fn.__module__
        if not module.startswith("conr.") and module not in patched:
            patched.add(module)
            patch(function.fn)
        return function.rewrite()(*arguments, **options)

    # Triton replaces its language again in each call of a function inside a kernel, which takes longer than the kernel.
    interpreter.InterpretedFunction.__call__ = call

    multiply = interpreter.InterpreterBuilder.create_dot

    def create_dot(self: Any, first: Any, second: Any, *rest: Any) -> Any:
        return multiply(self, *(_as_float32(factor) for factor in (first, second)), *rest)

    def _as_float32(factor: Any) -> Any:
        if factor.dtype.scalar != interpreter.tl.bfloat16:
            return factor
        numbers = (factor.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(numbers, interpreter.tl.float32)

    # It would multiply the bits of bfloat16 as integers.
    interpreter.InterpreterBuilder.create_dot = create_dot


@contextmanager
def interpreter_process() -> Iterator[Run]:
    """Start the process, and end it."""
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start)
        pool.submit(int).result()  # it starts here, with this environment
    finally:
        del os.environ["TRITON_INTERPRET"]
        if before is not None:
            os.environ["TRITON_INTERPRET"] = before
    with pool:
        yield lambda function, *arguments, **options: pool.submit(function, *arguments, **options).result()
