"""The LightningModule in which every method of deep imbalanced regression finds its place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from conr._checks import check_choice, check_number
from conr.data import Inputs, RegressionData, make_views
from conr.data.views import VIEW_MODES
from conr.density import LabelDensity
from conr.losses import L1
from conr.metrics import CollapseMetric
from conr.models import LinearHead
from conr.training.dense import at_label_size, collapse_rows, criterion_rows, kept_outputs, label_weights

Batch = tuple[Inputs, Tensor]


@dataclass
class Regularizer:
    """A regularizer with its place in the total loss.

    Args:
        loss: called as ``loss(features, labels, predictions, weights)``, returns a scalar.
        coefficient: factor of its value in the total loss (beta of ConR).
        density: gives the weights that are passed to it; weights of 1 if None.
    """

    loss: nn.Module
    coefficient: float = 1.0
    density: LabelDensity | None = None


class RegressionModule(LightningModule):
    r"""Encoder, head, criterion and regularizers, trained together.

    One step: batch -> views -> encoder -> features -> [smoothing] -> head -> predictions -> criterion + regularizers.
    Regularizers see the features that leave the encoder, before smoothing and head. Every term is logged as
    ``train/NAME``, the metrics of the dataset (`conr.metrics.shot_metrics`) as ``val/...`` and ``test/...``, each also
    per shot region.

    With dense labels, maps (n, k, h, w) that are NaN where there is no label, features (n, d, h, w) and predictions
    (n, k, h, w) are maps too. The criterion then sees each pixel with a label as a row, its mean is over these; a
    regularizer, as `conr.losses.DenseConR`, sees the maps, with weights (n, h, w).

    Args:
        encoder: inputs to features (n, d); has ``out_features``, or give a head.
        head: features to predictions (n,) or (n, k); a linear layer by default.
        criterion: called as ``criterion(predictions, labels, weights)``.
        criterion_density: gives the criterion's weights; unweighted if None.
        regularizers: by name, as the name is logged; each with its coefficient and its own weights.
        smoothing: a layer between encoder and head, called as ``smoothing(features, labels)`` while training.
        views: makes one random view of a batch of inputs; none if None.
        view_mode: "two": both terms on two views; "original+two": criterion on the inputs, regularizers on two views;
            "three": criterion on one view, regularizers on two others; "one": both terms on one view.
        optimizer: called with the parameters.
        scheduler: "cosine" to zero over the whole run, "constant", or a scheduler called with the optimizer and stepped
            per epoch.
        collapse_window: labels (predictions) within it count as alike in the logged measure of feature collapse
            (``train/collapse_few``, ...; see `conr.losses.conr_statistics`); not measured if None.

    Raises:
        ValueError: an unknown view mode or scheduler.
        TypeError: an encoder without ``out_features`` and no head; training without a `conr.data.RegressionData`, whose
            training labels all densities are fitted on.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        head: nn.Module | None = None,
        criterion: nn.Module | None = None,
        criterion_density: LabelDensity | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        smoothing: nn.Module | None = None,
        views: nn.Module | None = None,
        view_mode: str = "two",
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Literal["constant", "cosine"] | LRSchedulerCallable = "cosine",
        collapse_window: float | None = None,
    ) -> None:
        super().__init__()
        check_choice("view_mode", view_mode, VIEW_MODES)
        if not callable(scheduler):
            check_choice("scheduler", scheduler, ("constant", "cosine"))
        if collapse_window is not None:
            check_number("collapse_window", collapse_window, low=0, open_low=True)
        self.encoder = encoder
        self.head = _default_head(encoder) if head is None else head
        self.criterion = L1() if criterion is None else criterion
        self.criterion_density = criterion_density
        self.regularizers = dict(regularizers or {})
        self.regularizer_losses = nn.ModuleDict({name: term.loss for name, term in self.regularizers.items()})
        self.regularizer_densities = nn.ModuleDict(
            {name: term.density for name, term in self.regularizers.items() if term.density is not None}
        )
        self.smoothing = smoothing
        self.views = views
        self.view_mode = view_mode
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.collapse_window = collapse_window

    def setup(self, stage: str) -> None:  # noqa: ARG002  Lightning passes it
        """Fit all densities on the training labels and make the metrics; called by the trainer."""
        if hasattr(self, "shot_density"):
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, RegressionData):
            raise TypeError(f"datamodule: expected one that is a conr.data.RegressionData, got {type(data).__name__}")
        for density in (self.criterion_density, *self.regularizer_densities.values()):
            if density is not None:
                data.fit_on_labels(density)
        self.shot_density = data.shot_density()
        self.val_metrics = data.metrics(self.shot_density, "val/")
        self.test_metrics = data.metrics(self.shot_density, "test/")
        self.collapse = (
            CollapseMetric(self.shot_density, window=self.collapse_window, prefix="train/")
            if self.collapse_window is not None
            else None
        )

    def forward(self, inputs: Inputs) -> Tensor:
        """Predictions (n,) or (n, k) for a batch of inputs."""
        return cast("Tensor", self.head(self.encoder(inputs)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002  Lightning passes it
        """Total loss of a batch."""
        inputs, labels, first_rows, regularizer_rows = make_views(*batch, self.views, self.view_mode)
        features = self.encoder(inputs)  # (m, d)
        smoothed = features if self.smoothing is None else self.smoothing(features, labels)  # (m, d)
        predictions = self.head(smoothed)  # (m,) or (m, k)

        terms: dict[str, Tensor] = {
            "criterion": self.criterion(
                *criterion_rows(
                    predictions[first_rows],
                    labels[first_rows],
                    label_weights(self.criterion_density, labels[first_rows]),
                )
            )
        }
        total = terms["criterion"]
        labels, predictions = labels[regularizer_rows], predictions[regularizer_rows]
        for name, term in self.regularizers.items():
            weights = label_weights(term.density, labels)
            terms[name] = term.loss(features[regularizer_rows], labels, predictions, weights)
            total = total + term.coefficient * terms[name]
        terms["loss"] = total
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(labels),
        )
        if self.collapse is not None:
            self.collapse.update(*collapse_rows(predictions.detach(), labels))
        return total

    def on_train_epoch_end(self) -> None:
        """Log the measure of feature collapse over the epoch."""
        if self.collapse is not None:
            self._log_metrics(self.collapse)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count a batch into the validation metrics."""
        inputs, labels = batch
        self.val_metrics.update(at_label_size(self(inputs), labels), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_metrics(self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Count a batch into the test metrics; returns what the result file keeps."""
        inputs, labels = batch
        features = self.encoder(inputs)
        predictions = at_label_size(self.head(features), labels)
        self.test_metrics.update(predictions, labels)
        return kept_outputs(features, predictions, labels)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_metrics(self.test_metrics)

    def predict_step(self, batch: Batch | Inputs, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Predictions of a batch, with or without labels in it; maps have the size of the labels if there are any."""
        if isinstance(batch, tuple | list):
            return at_label_size(self(batch[0]), batch[1])
        return cast("Tensor", self(batch))

    def _log_metrics(self, metrics: MetricCollection | Metric) -> None:
        # Computed here and not by Lightning, whose logging of a collection expects one number per metric.
        self.log_dict(metrics.compute())
        metrics.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer and learning-rate schedule."""
        optimizer = self.optimizer(self.parameters())
        if callable(self.scheduler):
            scheduler = cast("Callable[[Any], Any]", self.scheduler)(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}
        if self.scheduler == "constant":
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=max(1, int(self.trainer.estimated_stepping_batches))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def _default_head(encoder: nn.Module) -> nn.Module:
    out_features = getattr(encoder, "out_features", None)
    if not isinstance(out_features, int):
        raise TypeError(
            f"encoder: expected an integer attribute out_features to size the linear head, got {out_features!r} "
            f"from {type(encoder).__name__}; add it, or give a head"
        )
    return LinearHead(out_features)
