"""One batch or all of them: how the Trainer's options of both meanings are read."""

import inspect
from typing import get_args

from lightning import Trainer


def read_batches_before_fractions() -> None:
    """Let the command line read ``--trainer.limit_train_batches=1`` as one batch; ``1.0`` is all of them.

    Lightning's type is ``Optional[Union[int, float]]``, of which the first that fits is taken. For it, `typing` may
    hand out the equal ``Optional[Union[float, int]]`` if any module has asked for that before: then 1 would become 1.0.
    """
    types = inspect.unwrap(Trainer.__init__).__annotations__
    for name, options in types.items():
        if set(get_args(options)) == {int, float, type(None)}:
            types[name] = int | float | None
