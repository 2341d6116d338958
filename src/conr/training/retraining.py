"""RRT, regressor re-training: a second stage of training, for the head alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr.data import RegressionData
from conr.density import LabelDensity, SampleWeights
from conr.runs.folder import BEST_CHECKPOINT, FIRST_STAGE, LAST_CHECKPOINT, run_checkpoint
from conr.training.checkpoints import read_weights
from conr.training.module import RegressionModule

EPOCHS = {"best": BEST_CHECKPOINT, "last": LAST_CHECKPOINT}
"""Which epoch of a run the encoder can be from, and where a run keeps it."""


@dataclass
class RRT:
    r"""Settings of regressor re-training: what `HeadRetraining` does, and for how long.

    $$\min_{h} \sum_i w_i \, \ell(h(f(x_i)), y_i), \qquad w_i \propto N_{b(i)}^{-p}$$

    Symbols: $f$ the encoder of the first stage, which stays as it is, $h$ the head, $\ell$ the criterion, $N_b$
    training samples in bin b, $p$ the power. Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
    after the decoupled training of classifiers by Kang et al., ICLR 2020.

    Args:
        epochs: of the second stage, at least 1.
        lr: learning rate of the second stage, which falls to zero by a cosine, epoch by epoch; the optimizer's own if
            None.
        power: of the weights $N_b^{-p}$, at least 0; 0 is none, 0.5 SQINV, 1 INV.
        density: gives the weights in the place of the power, as LDS does.
        new_head: whether the head starts anew, or from what the first stage has learnt.
        epoch: which epoch of the first stage the encoder is from: "best" by the monitored validation metric, or "last",
            where no head has learnt whose error could tell.
        checkpoint: a checkpoint with a trained encoder, or the folder of an earlier run. There is no first stage then.

    Raises:
        ValueError: less than one epoch, a learning rate that is not positive, a negative power, or another word as
            epoch.
    """

    epochs: int = 10
    lr: float | None = None
    power: float = 0.5
    density: SampleWeights | None = None
    new_head: bool = True
    epoch: str = "best"
    checkpoint: str | None = None

    def encoder_checkpoint(self, folder: Path) -> Path:
        """The checkpoint that the encoder of the run in a folder is from.

        Raises:
            FileNotFoundError: ``checkpoint`` is a folder without one.
        """
        if self.checkpoint is None:
            return folder / FIRST_STAGE / EPOCHS[self.epoch].name
        given = Path(self.checkpoint)
        return run_checkpoint(given, EPOCHS[self.epoch]) if given.is_dir() else given

    def __post_init__(self) -> None:
        check_number("rrt.epochs", self.epochs, low=1)
        check_number("rrt.power", self.power, low=0)
        check_choice("rrt.epoch", self.epoch, EPOCHS)
        if self.lr is not None:
            check_number("rrt.lr", self.lr, low=0, open_low=True)


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
        pl_module.requires_grad_(requires_grad=False)
        pl_module.head.requires_grad_()
        pl_module.criterion.requires_grad_()
        density = LabelDensity(scheme="power", power=self.rrt.power) if self.rrt.density is None else self.rrt.density
        cast("RegressionData", trainer.datamodule).fit_density(density)  # type: ignore[attr-defined]
        pl_module.criterion_density = density
        pl_module.regularizers = {}
        pl_module.criterion_coefficient = 1.0
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
        del trainer, batch, batch_idx
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
