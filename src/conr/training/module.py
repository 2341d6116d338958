"""The LightningModule in which every method of deep imbalanced regression finds its place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from lightning import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import default_collate
from torchmetrics import Metric, MetricCollection

from conr._checks import check_choice, check_number
from conr.data import Inputs, RegressionData, RegressionDataset, make_views
from conr.data.views import VIEW_MODES
from conr.density import Bins, SampleWeights
from conr.losses import L1
from conr.methods.dense import at_label_size, collapse_rows, criterion_rows, kept_outputs, label_weights
from conr.metrics import CollapseMetric
from conr.models import LinearHead
from conr.pairwise import DISTANCES

Batch = tuple[Inputs, Tensor]


@dataclass
class Regularizer:
    """A regularizer with its place in the total loss.

    Args:
        loss: called as ``loss(features, labels, predictions, weights)``, returns a scalar. If it has a method
            ``on_train_epoch_end()``, as `conr.losses.SRLLoss` has, that is called at the end of each epoch.
        coefficient: factor of its value in the total loss (beta of ConR).
        density: gives the weights that are passed to it; weights of 1 if None.
    """

    loss: nn.Module
    coefficient: float = 1.0
    density: SampleWeights | None = None


class RegressionModule(LightningModule):
    r"""Encoder, head, criterion and regularizers, trained together.

    One step: batch -> views -> encoder -> features -> [smoothing] -> head -> predictions -> criterion + regularizers.
    Regularizers see the features that leave the encoder, before smoothing and head. Every term is logged as
    ``train/NAME``, the metrics of the dataset (`conr.metrics.shot_metrics`) as ``val/...`` and ``test/...``, each also
    per shot region.

    With dense labels, maps (n, k, h, w) that are NaN where there is no label, features (n, d, h, w) and predictions
    (n, k, h, w) are maps too. The criterion then sees each pixel with a label as a row, its mean is over these; a
    regularizer, as `conr.losses.DenseConR`, sees the maps, with weights (n, h, w).

    Lazy layers (`torch.nn.LazyLinear`, or ``MLP()`` without ``in_features``) take their size from the dataset.

    Args:
        encoder: inputs to features (n, d); has ``out_features``, or give a head.
        head: features to predictions (n,) or (n, k), or what makes such a head of the number of features and, for
            several label dimensions, of ``out_features=k``: its class, if the rest has defaults. A linear layer by
            default. A head whose outputs say more than a prediction, for a criterion that expects such outputs, has a
            method ``point(outputs)`` that turns them into the predictions for regularizers, metrics and users. It may
            have a method ``fit(labels, bins)``, as a criterion.
        criterion: called as ``criterion(predictions, labels, weights)`` with what the head returns. It may have a
            method ``fit(labels, bins)``, called with the training labels and the dataset's bins before anything else; a
            method ``set_progress(share)``, called as each epoch begins with the share of all epochs that will be done
            when it ends; and parameters.
        criterion_coefficient: factor of the criterion in the total loss (alpha of ConR), at least 0. With 0 the
            regularizers alone train the encoder, and the head learns nothing: for a first stage before `RRT`.
        criterion_lr: constant learning rate of the criterion's own parameters, without weight decay.
        criterion_density: gives the criterion's weights; unweighted if None.
        regularizers: by name, as the name is logged; each with its coefficient and its own weights.
        smoothing: a layer between encoder and head, as `conr.smoothing.FDS`, called as ``smoothing(features, labels)``
            while training; or a function of the number of features that makes it. It may have methods
            ``fit(labels, bins)`` and ``on_train_epoch_end()``, and sees labels in label units. What regularizers get as
            predictions is the head's of the features before smoothing, as in ConR's released code.
        views: makes one random view of a batch of inputs; none if None.
        view_mode: "two": both terms on two views; "original+two": criterion on the inputs, regularizers on two views;
            "three": criterion on one view, regularizers on two others; "one": both terms on one view.
        optimizer: called with the parameters.
        scheduler: "cosine" to zero over the whole run, "constant", or a scheduler called with the optimizer and stepped
            per epoch.
        collapse_window: labels (predictions) within it count as alike in the logged measure of feature collapse
            (``train/collapse_few``, ...; see `conr.losses.conr_statistics`), in label units; not measured if None.
        collapse_distance: the distance that the window is compared with, a name as for `conr.losses.conr_loss`.
        standardise_labels: let head, criterion and regularizers see labels of mean 0 and deviation 1 over the training
            split, per label dimension: for labels of unknown scale, such as any table's. What they take in label units
            (``window``, ``distance_scale``) then counts in standard deviations; predictions, metrics and logged results
            stay in label units, train/criterion and train/loss do not.

    Raises:
        ValueError: an unknown view mode, scheduler or collapse distance.
        TypeError: an encoder without ``out_features`` and no head module; training without a
            `conr.data.RegressionData`, whose training labels the criterion and all densities are fitted on.
    """

    head: nn.Module
    label_mean: Tensor
    label_std: Tensor
    _make_head: Callable[..., nn.Module] | None

    def __init__(
        self,
        encoder: nn.Module,
        *,
        head: nn.Module | Callable[[int], nn.Module] | None = None,
        criterion: nn.Module | None = None,
        criterion_coefficient: float = 1.0,
        criterion_lr: float = 0.01,
        criterion_density: SampleWeights | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        smoothing: nn.Module | Callable[[int], nn.Module] | None = None,
        views: nn.Module | None = None,
        view_mode: str = "two",
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Literal["constant", "cosine"] | LRSchedulerCallable = "cosine",
        collapse_window: float | None = None,
        collapse_distance: str = "l2",
        standardise_labels: bool = False,
    ) -> None:
        super().__init__()
        check_choice("view_mode", view_mode, VIEW_MODES)
        if not callable(scheduler):
            check_choice("scheduler", scheduler, ("constant", "cosine"))
        check_number("criterion_coefficient", criterion_coefficient, low=0)
        check_number("criterion_lr", criterion_lr, low=0)
        if collapse_window is not None:
            check_number("collapse_window", collapse_window, low=0, open_low=True)
        check_choice("collapse_distance", collapse_distance, DISTANCES)
        self.encoder = encoder
        if isinstance(head, nn.Module):
            self.head, self._make_head = head, None
        else:
            self._make_head = LinearHead if head is None else head
            self.head = _sized_head(encoder, self._make_head)
        self.criterion = L1() if criterion is None else criterion
        self.criterion_coefficient = criterion_coefficient
        self.criterion_lr = criterion_lr
        self.criterion_density = criterion_density
        self.regularizers = dict(regularizers or {})
        self.regularizer_losses = nn.ModuleDict({name: term.loss for name, term in self.regularizers.items()})
        self.regularizer_densities = nn.ModuleDict(
            {
                name: cast("nn.Module", term.density)
                for name, term in self.regularizers.items()
                if term.density is not None
            }
        )
        self.smoothing = smoothing if isinstance(smoothing, nn.Module | None) else _sized_head(encoder, smoothing)
        self.views = views
        self.view_mode = view_mode
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.collapse_window = collapse_window
        self.collapse_distance = collapse_distance
        self.standardise_labels = standardise_labels
        for name, value in (("label_mean", torch.zeros(1)), ("label_std", torch.ones(1))):
            self.register_buffer(name, value if standardise_labels else None)

    def setup(self, stage: str) -> None:  # noqa: ARG002  Lightning passes it
        """Size the model, fit label scale, criterion and densities on the training labels, make the metrics.

        Called by the trainer, before it restores a checkpoint.
        """
        if hasattr(self, "shot_density"):
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, RegressionData):
            raise TypeError(f"datamodule: expected one that is a conr.data.RegressionData, got {type(data).__name__}")
        labels = data.train_labels()
        if self._make_head is not None and labels.ndim == 2 and labels.shape[1] > 1:
            self.head = _sized_head(self.encoder, partial(self._make_head, out_features=labels.shape[1]))
        if self.standardise_labels:
            self._fit_label_scale(labels)
        in_head_units = (self._in_head_units(labels), self._bins_in_head_units(data.splits.bins))
        _call_if_there(self.head, "fit", *in_head_units)
        _call_if_there(self.criterion, "fit", *in_head_units)
        _call_if_there(self.smoothing, "fit", labels, data.splits.bins)
        self._size_lazy_layers(data.splits.train)
        for density in (self.criterion_density, *self.regularizer_densities.values()):
            if density is not None:
                data.fit_density(cast("SampleWeights", density))
        self.shot_density = data.shot_density()
        self.val_metrics = data.metrics(self.shot_density, "val/")
        self.test_metrics = data.metrics(self.shot_density, "test/")
        self.collapse = (
            CollapseMetric(
                self.shot_density, window=self.collapse_window, distance=self.collapse_distance, prefix="train/"
            )
            if self.collapse_window is not None
            else None
        )

    def forward(self, inputs: Inputs) -> Tensor:
        """Predictions (n,) or (n, k) for a batch of inputs, in label units."""
        return self.in_label_units(self._point(self.head(self.encoder(inputs))))

    def on_train_epoch_start(self) -> None:
        """Tell the criterion how far the training is, if it wants to know."""
        set_progress = getattr(self.criterion, "set_progress", None)
        if set_progress is not None:
            epochs = self.trainer.max_epochs or -1  # -1 is without end
            # NOTE[DIFF]: the epoch that begins counts as done; from 0, most heads of UVOTE would learn nothing in it.
            set_progress(min(1.0, (self.current_epoch + 1) / epochs) if epochs > 0 else 1.0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002  Lightning passes it
        """Total loss of a batch."""
        inputs, labels, first_rows, regularizer_rows = make_views(*batch, self.views, self.view_mode)
        features = self.encoder(inputs)  # (m, d)
        smoothed = features if self.smoothing is None else self.smoothing(features, labels)  # (m, d)
        outputs = self.head(smoothed)  # (m,) or (m, k), or what the criterion expects
        plain = outputs if smoothed is features else self._plain_outputs(features)
        predictions = self._point(plain)  # (m,) or (m, k)
        targets = self._in_head_units(labels)  # like labels

        terms: dict[str, Tensor] = {
            "criterion": self.criterion(
                *criterion_rows(
                    outputs[first_rows],
                    targets[first_rows],
                    label_weights(self.criterion_density, labels[first_rows]),
                )
            )
        }
        total = self.criterion_coefficient * terms["criterion"]
        labels, targets = labels[regularizer_rows], targets[regularizer_rows]
        predictions = predictions[regularizer_rows]
        for name, term in self.regularizers.items():
            weights = label_weights(term.density, labels)
            terms[name] = term.loss(features[regularizer_rows], targets, predictions, weights)
            total = total + term.coefficient * terms[name]
        terms["loss"] = total
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(labels),
            sync_dist=True,
        )
        if self.collapse is not None:
            self.collapse.update(*collapse_rows(self.in_label_units(predictions.detach()), labels))
        return total

    def on_train_epoch_end(self) -> None:
        """Tell what keeps state that the epoch ends; log the measure of feature collapse over it."""
        for part in (*self.regularizer_losses.values(), self.smoothing):
            _call_if_there(part, "on_train_epoch_end")
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
        predictions = at_label_size(self.in_label_units(self._point(self.head(features))), labels)
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

    @torch.no_grad()
    def _plain_outputs(self, features: Tensor) -> Tensor:
        return cast("Tensor", self.head(features))

    def _point(self, outputs: Tensor) -> Tensor:
        point = getattr(self.head, "point", None)
        return outputs if point is None else point(outputs)

    def in_label_units(self, predictions: Tensor) -> Tensor:
        """Labels or predictions as head and criterion see them, in label units."""
        return predictions * self.label_std + self.label_mean if self.standardise_labels else predictions

    def _in_head_units(self, labels: Tensor) -> Tensor:
        return (labels - self.label_mean) / self.label_std if self.standardise_labels else labels

    def _bins_in_head_units(self, bins: Bins) -> Bins:
        if not self.standardise_labels:
            return bins
        scales = zip(bins.edges, self.label_mean.tolist(), self.label_std.tolist(), strict=True)
        # Clamped, as a label at the outer edge may be rounded beyond it.
        return Bins([((edges - mean) / std).tolist() for edges, mean, std in scales], clamp=True)

    def _fit_label_scale(self, labels: Tensor) -> None:
        if labels.ndim > 2:
            raise ValueError(f"standardise_labels: expected labels (n,) or (n, k), got shape {tuple(labels.shape)}")
        columns = labels.reshape(len(labels), -1).double()  # (n, k)
        deviation = columns.std(dim=0, correction=0)  # (k,)
        self.label_mean = columns.mean(dim=0).to(labels.dtype)
        self.label_std = torch.where(deviation > 0, deviation, 1).to(labels.dtype)

    def _size_lazy_layers(self, dataset: RegressionDataset) -> None:
        if any(is_lazy(parameter) for parameter in self.parameters()):
            inputs, _ = default_collate([dataset[0]])
            modes = [(module, module.training) for module in self.modules()]
            self.eval()  # one sample must not reach the statistics of a batch norm
            with torch.no_grad():
                self(inputs)
            for module, mode in modes:
                module.training = mode

    def _log_metrics(self, metrics: MetricCollection | Metric) -> None:
        # Computed here and not by Lightning, whose logging of a collection expects one number per metric.
        self.log_dict(metrics.compute())
        metrics.reset()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer and learning-rate schedule; the criterion's parameters are a group of their own, "criterion"."""
        own = list(self.criterion.parameters())
        if own:
            others = [parameter for parameter in self.parameters() if all(parameter is not one for one in own)]
            own_group = {"name": "criterion", "params": own, "lr": self.criterion_lr, "weight_decay": 0.0}
            optimizer = self.optimizer([{"params": others}, own_group])
        else:
            optimizer = self.optimizer(self.parameters())
        if callable(self.scheduler):
            scheduler = cast("Callable[[Any], Any]", self.scheduler)(optimizer)
            self._hold_criterion_lr(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}
        if self.scheduler == "constant":
            return optimizer
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=max(1, int(self.trainer.estimated_stepping_batches))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any) -> None:
        """Step the schedule, from which the criterion's parameters are exempt."""
        super().lr_scheduler_step(scheduler, metric)
        self._hold_criterion_lr(scheduler.optimizer)

    def _hold_criterion_lr(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            if group.get("name") == "criterion":
                group["lr"] = self.criterion_lr


def _call_if_there(part: nn.Module | None, method: str, *arguments: object) -> None:
    if hasattr(part, method):
        getattr(part, method)(*arguments)


def _sized_head(encoder: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    out_features = getattr(encoder, "out_features", None)
    if not isinstance(out_features, int):
        raise TypeError(
            f"encoder: expected an integer attribute out_features to size the head, got {out_features!r} "
            f"from {type(encoder).__name__}; add it, or give a head"
        )
    return make(out_features)
