"""The trainer of the command line: Lightning's, with options read as people mean them."""

from typing import Any

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from conr._checks import check_number


class RunTrainer(Trainer):
    """`lightning.Trainer`, where ``1`` batch is one batch and ``1.0`` is all of them.

    Lightning's type is ``Optional[Union[int, float]]``, of which the first that fits is taken. For it `typing` may hand
    out the equal ``Optional[Union[float, int]]`` if any module has asked for that before: then 1 would become 1.0.

    Raises:
        ValueError: fewer epochs than 0 that are not -1, for a training without end; other settings that Lightning
            refuses.
    """

    def __init__(
        self,
        *,
        max_epochs: int | None = None,
        accumulate_grad_batches: int = 1,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        val_check_interval: int | float | None = None,
        **settings: Any,
    ) -> None:
        if max_epochs is not None:
            check_number("trainer.max_epochs", max_epochs, low=-1)
        check_number("trainer.accumulate_grad_batches", accumulate_grad_batches, low=1)
        try:
            super().__init__(
                max_epochs=max_epochs,
                accumulate_grad_batches=accumulate_grad_batches,
                limit_train_batches=limit_train_batches,
                limit_val_batches=limit_val_batches,
                limit_test_batches=limit_test_batches,
                limit_predict_batches=limit_predict_batches,
                val_check_interval=val_check_interval,
                **settings,
            )
        except MisconfigurationException as error:
            raise ValueError(f"trainer: {error}") from error
