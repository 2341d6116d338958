"""Logs how likely rare samples are taken for others in feature space, beside the bound that ConR's loss gives."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from conr._checks import check_number
from conr.density import REGIONS
from conr.losses import ConRLoss
from conr.metrics import conr_confusion
from conr.training.module import RegressionModule


class ConfusionLogger(Callback):
    r"""Log `conr.losses.conr_confusion` of training batches, as ``train/confusion`` and ``train/confusion_bound``.

    Means over the anchors of an epoch, also per shot region (``train/confusion_few``, ``train/confusion_bound_few``),
    of what a `conr.ConRLoss` of the module sees, with its settings and weights; NaN without anchors. On the command
    line: ``--trainer.callbacks+=conr.training.ConfusionLogger``.

    Args:
        every: one batch in this many is measured.

    Raises:
        ValueError: ``every`` below 1; at the start of training, a module without `conr.ConRLoss`.

    Notes:
        Costs one dense ConR forward pass per measured batch. With several processes each counts its own batches.
    """

    def __init__(self, every: int = 1) -> None:
        check_number("every", every, low=1)
        self.every = every
        self._calls = 0
        self._sums = torch.zeros(3, len(REGIONS), dtype=torch.float64)
        self._hooks: list[Any] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the module's ConR."""
        losses = getattr(pl_module, "regularizer_losses", {})
        found = [loss for loss in losses.values() if isinstance(loss, ConRLoss)]
        if not isinstance(pl_module, RegressionModule) or not found:
            raise ValueError("ConfusionLogger: expected a RegressionModule with ConRLoss among its regularizers")

        def look(loss: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001  a hook's signature
            if pl_module.training and isinstance(loss, ConRLoss):
                self._calls += 1
                if self._calls % self.every == 0:
                    self._count(pl_module, loss, arguments)

        self._hooks = [loss.register_forward_hook(look) for loss in found]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means of the epoch."""
        number, confusion, bound = self._sums
        values = {"confusion": confusion, "confusion_bound": bound}
        means = {f"train/{name}": value.sum() / number.sum() for name, value in values.items()}
        for region, title in enumerate(REGIONS):
            means |= {f"train/{name}_{title}": value[region] / number[region] for name, value in values.items()}
        pl_module.log_dict({name: value.float().to(pl_module.device) for name, value in means.items()})
        self._sums.zero_()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _count(self, module: RegressionModule, loss: ConRLoss, arguments: tuple[Any, ...]) -> None:
        features, labels, predictions, weights = (*arguments, None)[:4]
        settings = loss.settings()
        pairs = {name: settings[name] for name in ("window", "temperature", "distance_scale", "push", "distance")}
        found = conr_confusion(features.detach(), labels, predictions, **pairs, weights=weights)
        regions = module.shot_density.regions(module.in_label_units(labels), check=False)  # (n,)
        anchors = ~found.confusion.isnan()
        chosen = torch.stack((torch.ones_like(found.bound), found.confusion, found.bound))[:, anchors].double().cpu()
        self._sums.index_add_(1, regions[anchors].cpu(), chosen)
