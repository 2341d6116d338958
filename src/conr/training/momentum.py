"""A slowly changing encoder for the memory of earlier batches, so that what is remembered does not go stale."""

import copy
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from conr._checks import check_share
from conr.data import Inputs
from conr.losses import CrossBatchMemory
from conr.methods.terms import predicted
from conr.training.module import RegressionModule


class MomentumMemory(Callback):
    r"""Fills `conr.losses.CrossBatchMemory` by a momentum encoder, as momentum contrast does (He et al., CVPR 2020).

    A copy of encoder and head follows the trained ones after each step, $\theta_m \leftarrow m\, \theta_m + (1 - m)\,
    \theta$, and the memory keeps its features and predictions of each batch. The batch itself is compared as before. On
    the command line: ``--trainer.callbacks+=conr.training.MomentumMemory``.

    Source: "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020.

    Args:
        momentum: $m$, in [0, 1); 0 remembers features of the trained encoder, computed a second time.

    Raises:
        ValueError: a momentum outside [0, 1); at the start of training, a module that is not a `RegressionModule` with
            a `conr.losses.CrossBatchMemory` among its regularizers.

    Notes:
        Costs a forward pass per step and the memory of a second network. Differs from the source: samples of the batch
        are not compared with the momentum encoder's view of themselves, and batch norms are not shuffled among devices.
        The copy is part of the checkpoint. Its batch norms normalise by the batch, as those of the trained network do.
    """

    def __init__(self, momentum: float = 0.99) -> None:
        check_share("momentum", momentum, open_high=True)
        self.momentum = momentum
        self.network: nn.ModuleDict | None = None
        self._loaded: dict[str, Any] | None = None
        self._inputs: Inputs | None = None
        self._hook: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy encoder and head, and stand between the batch and its memories."""
        if not isinstance(pl_module, RegressionModule) or not _memories(pl_module):
            raise ValueError("MomentumMemory: expected a RegressionModule with CrossBatchMemory among its regularizers")
        self.network = nn.ModuleDict(
            {"encoder": copy.deepcopy(pl_module.encoder), "head": copy.deepcopy(pl_module.head)}
        ).requires_grad_(requires_grad=False)
        if self._loaded is not None:
            self.network.load_state_dict(self._loaded)
            self._loaded = None
        self._hook = pl_module.encoder.register_forward_hook(self._listen)
        for memory in _memories(pl_module):
            memory.encode = self._encode

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *others: Any) -> None:
        """Follow the trained network by a small step."""
        with torch.no_grad():
            for name, part in cast("nn.ModuleDict", self.network).items():
                for own, trained in zip(part.parameters(), getattr(pl_module, name).parameters(), strict=True):
                    own.lerp_(trained, 1 - self.momentum)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the module as it was."""
        self._leave(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._leave(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The copy's state, for a checkpoint."""
        return {} if self.network is None else self.network.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The copy's state, from a checkpoint; training begins with it."""
        self._loaded = state_dict or None

    def _leave(self, module: LightningModule) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = self._inputs = None
            for memory in _memories(cast("RegressionModule", module)):
                memory.encode = None

    def _listen(self, encoder: nn.Module, inputs: tuple[Inputs, ...], output: Tensor) -> None:
        if encoder.training and torch.is_grad_enabled():
            self._inputs = inputs[0]

    @torch.no_grad()
    def _encode(self, n: int) -> tuple[Tensor, Tensor]:
        encoder, head = cast("nn.ModuleDict", self.network).values()
        # Regularizers see all rows of the encoder's inputs or the last of them: see `conr.data.make_views`.
        inputs = cast("Inputs", self._inputs)
        rows = inputs[-n:] if isinstance(inputs, Tensor) else {name: part[-n:] for name, part in inputs.items()}
        return predicted(head, encoder(rows))


def _memories(module: RegressionModule) -> list[CrossBatchMemory]:
    return [loss for loss in module.regularizer_losses.values() if isinstance(loss, CrossBatchMemory)]
