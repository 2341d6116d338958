"""The second stage of RRT with Lightning, and where its encoder comes from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from conr._checks import check_number
from conr.data import RegressionData
from conr.methods.retraining import RRT
from conr.runs.folder import BEST_CHECKPOINT, FIRST_STAGE, LAST_CHECKPOINT, run_checkpoint
from conr.training.checkpoints import read_weights
from conr.training.module import RegressionModule

_CHECKPOINTS = {"best": BEST_CHECKPOINT, "last": LAST_CHECKPOINT}


def encoder_checkpoint(rrt: RRT, folder: Path) -> Path:
    """The checkpoint that the encoder of the second stage of a run is from.

    Raises:
        FileNotFoundError: ``rrt.checkpoint`` is a folder without one.
    """
    if rrt.checkpoint is None:
        return folder / FIRST_STAGE / _CHECKPOINTS[rrt.epoch].name
    given = Path(rrt.checkpoint)
    return run_checkpoint(given, _CHECKPOINTS[rrt.epoch]) if given.is_dir() else given


class HeadRetraining(Callback):
    """The second stage of `RRT`, as a callback: train the head of a `RegressionModule` on a trained, frozen encoder.

    The encoder takes its weights from the checkpoint, does not learn, and stays in eval mode: dropout is off, and batch
    norms use and keep the statistics of the first stage. Smoothing takes its state from there too if it has any, and
    the head unless it starts anew; the criterion always starts anew. Regularizers are off, as nothing of what they act
    on can move. The criterion sees the views that it saw before.

    NOTE[DIFF]: released code leaves the encoder in train mode in the second stage, where its batch norms drift; and it
    loads what fits and says nothing of the rest, while a checkpoint of another encoder is an error here.

    Args:
        rrt: the settings.
        checkpoint: a checkpoint of a `RegressionModule` with the same encoder.
        first_epoch: number of the first epoch, so that the epochs of two stages can be told apart. The trainer's
            ``max_epochs`` counts from 0.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: when training starts: a checkpoint with another encoder, or, where it is used, another head.
    """

    def __init__(self, rrt: RRT, *, checkpoint: Path, first_epoch: int = 0) -> None:
        check_number("first_epoch", first_epoch, low=0)
        if not checkpoint.is_file():
            raise FileNotFoundError(f"rrt: expected a checkpoint of a trained encoder, found no file {checkpoint}")
        self.rrt = rrt
        self.checkpoint = checkpoint
        self.first_epoch = first_epoch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load, freeze, and set criterion weights, views, optimizer and epoch counter for the second stage."""
        if stage != "fit":
            return
        assert isinstance(pl_module, RegressionModule)  # noqa: S101  the command builds no other
        pl_module.setup(stage)  # sizes the model; the trainer's own call of it finds it done
        self._load(pl_module)
        for part in (pl_module.encoder, pl_module.smoothing):
            if part is not None:
                part.requires_grad_(requires_grad=False)
        pl_module.terms = terms = self.rrt.second_stage(pl_module.terms, pl_module.criterion)
        for density in terms.densities:
            cast("RegressionData", trainer.datamodule).fit_density(density)  # type: ignore[attr-defined]
        pl_module.first_epoch = self.first_epoch
        if pl_module.view_mode == "original+two":
            pl_module.views = None
        if pl_module.view_mode != "two":
            pl_module.view_mode = "one"
        epochs = (trainer.max_epochs or 0) - self.first_epoch
        pl_module.optimizer = _with_lr(pl_module.optimizer, self.rrt.lr)
        pl_module.scheduler = lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
        counter: Any = (
            trainer.fit_loop.epoch_progress.current
        )  # a resumed run finds its own in its checkpoint, after this
        counter.ready = counter.started = counter.processed = counter.completed = self.first_epoch

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Keep the encoder in eval mode, whatever has run in between."""
        encoder = cast("RegressionModule", pl_module).encoder
        if any(module.training for module in encoder.modules()):
            encoder.eval()

    def _load(self, module: RegressionModule) -> None:
        state = read_weights(self.checkpoint)
        self._load_part("encoder", module.encoder, state)
        if not self.rrt.new_head:
            self._load_part("head", module.head, state)
        if module.smoothing is not None and any(name.startswith("smoothing.") for name in state):
            self._load_part("smoothing", module.smoothing, state)

    def _load_part(self, name: str, part: nn.Module, state: dict[str, Tensor]) -> None:
        prefix = f"{name}."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        try:
            part.load_state_dict(own)
        except RuntimeError as error:
            raise ValueError(f"{self.checkpoint}: expected the {name} of this run, got another one: {error}") from error


def _with_lr(make: Callable[[Any], torch.optim.Optimizer], lr: float | None) -> Callable[[Any], torch.optim.Optimizer]:
    def make_with_lr(parameters: Any) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        for group in optimizer.param_groups:
            if lr is not None and group.get("name") != "criterion":
                group["lr"] = lr
        return optimizer

    return make_with_lr
