"""The LightningModule in which every method of deep imbalanced regression finds its place."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import default_collate
from torchmetrics import Metric, MetricCollection

from conr._auto import AUTO, Auto, given, number
from conr._checks import check_choice, check_number
from conr.data import Inputs, RegressionData, RegressionDataset, make_views
from conr.data.views import VIEW_MODES
from conr.density import SampleWeights, suggest_settings
from conr.losses import L1
from conr.methods.dense import at_label_size, collapse_rows, kept_outputs
from conr.methods.hooks import FitsInputs, hooks_of
from conr.methods.scale import LabelScale
from conr.methods.terms import CRITERION, CRITERION_LR, Regularizer, Terms, predicted
from conr.metrics import CollapseMetric
from conr.models import LinearHead
from conr.pairwise import DISTANCES

Batch = tuple[Inputs, Tensor]


class RegressionModule(LightningModule):
    r"""Encoder, head, criterion and regularizers, trained together.

    One step: batch -> views -> encoder -> features -> [smoothing] -> head -> predictions -> criterion + regularizers.
    Regularizers see the features that leave the encoder, before smoothing and head. Every term is logged as
    ``train/NAME``, the metrics of the dataset (`conr.metrics.shot_metrics`) as ``val/...`` and ``test/...``, each also
    per shot region.

    With dense labels, maps (n, k, h, w) that are NaN where there is no label, features (n, d, h, w) and predictions
    (n, k, h, w) are maps too. The criterion then sees each labelled pixel as a row and averages over these; a
    regularizer such as `conr.losses.DenseConR` sees the maps, with weights (n, h, w).

    Lazy layers (`torch.nn.LazyLinear`, or ``MLP()`` without ``in_features``) take their size from the dataset.

    Args:
        encoder: inputs to features (n, d), or of an ensemble (n, members, d): the criterion then sees every member's
            rows, regularizers two members drawn anew at each step as the two views of a row, and predictions are means
            over the members. It has ``out_features``, or give a head. A method ``fit_inputs(inputs)`` is called with
            all training inputs before anything else.
        head: features to predictions (n,) or (n, k), or a function that makes such a head from the number of features
            and, for several label dimensions, ``out_features=k``: its class, if the rest has defaults. A linear layer
            by default. If the outputs hold more than a prediction, for a criterion that expects them, the head has a
            method ``point(outputs)`` that returns the predictions for regularizers, metrics and users.
        criterion: called as ``criterion(predictions, labels, weights)`` with what the head returns. It may have
            parameters. Head, criterion, regularizers and smoothing may have the methods of `conr.methods.Hooks`.
        criterion_coefficient: factor of the criterion in the total loss (alpha of ConR), at least 0. With 0 only the
            regularizers train the encoder, and the head learns nothing: for a first stage before `RRT`.
        criterion_lr: constant learning rate of the criterion's own parameters, without weight decay.
        criterion_density: gives the criterion's weights; unweighted if None.
        regularizers: by name, as the name is logged; each with its coefficient and its own weights.
        smoothing: a layer between encoder and head such as `conr.smoothing.FDS`, called as
            ``smoothing(features, labels)`` while training; or a function of the number of features that makes it. It
            sees labels in label units. Regularizers get the head's predictions from the features before smoothing, as
            in ConR's released code.
        views: makes one random view of a batch of inputs; none if None.
        view_mode: "two": both terms on two views; "original+two": criterion on the inputs, regularizers on two views;
            "three": criterion on one view, regularizers on two others; "one": both terms on one view.
        optimizer: called with the parameters.
        scheduler: "cosine" to zero over the whole run, "constant", or a scheduler called with the optimizer and stepped
            per epoch.
        collapse_window: labels (predictions) within it count as alike in the logged measure of feature collapse
            (``train/collapse_few``, ...; see `conr.losses.conr_statistics`), in label units; "auto" is the window of
            `conr.density.suggest_settings`; not measured if None.
        collapse_distance: the distance that the window is compared with, a name as for `conr.losses.conr_loss`.
        standardise_labels: let head, criterion and regularizers see labels of mean 0 and deviation 1 over the training
            split, per label dimension: for labels of unknown scale, such as any table's. What they take in label units
            (``window``, ``distance_scale``) then counts in standard deviations; predictions, metrics and logged results
            stay in label units, train/criterion and train/loss do not.

    Attributes:
        resolved: numbers that stand in the place of "auto" since training began, by names such as "conr.window".
        first_epoch: number of the epoch that the progress counts from, as `HeadRetraining` sets it.

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
        criterion_lr: float = CRITERION_LR,
        criterion_density: SampleWeights | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        smoothing: nn.Module | Callable[[int], nn.Module] | None = None,
        views: nn.Module | None = None,
        view_mode: str = "two",
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: Literal["constant", "cosine"] | LRSchedulerCallable = "cosine",
        collapse_window: float | Auto | None = None,
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
            check_number("collapse_window", given(collapse_window), low=0, open_low=True)
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
        self.first_epoch = 0
        self.resolved: dict[str, float] = {}
        for name, value in (("label_mean", torch.zeros(1)), ("label_std", torch.ones(1))):
            self.register_buffer(name, value if standardise_labels else None)

    def setup(self, stage: str) -> None:
        """Size the model, fit label scale, criterion and densities on the training labels, make the metrics.

        Called by the trainer, before it restores a checkpoint.
        """
        if hasattr(self, "shot_density"):
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, RegressionData):
            raise TypeError(f"datamodule: expected one that is a conr.data.RegressionData, got {type(data).__name__}")
        labels = data.train_labels()
        if isinstance(self.encoder, FitsInputs):
            rows = [data.splits.train[row][0] for row in range(len(data.splits.train))]
            self.encoder.fit_inputs(default_collate(rows))
        if self._make_head is not None and labels.ndim == 2 and labels.shape[1] > 1:
            self.head = _sized_head(self.encoder, partial(self._make_head, out_features=labels.shape[1]))
        if self.standardise_labels:
            scale = LabelScale.of(labels)
            self.label_mean, self.label_std = scale.mean.to(labels.dtype), scale.deviation.to(labels.dtype)
        terms = self.terms
        hooks_of(self.head).fit(*terms.scaled(labels, data.splits.bins))
        self.resolved = terms.fit(
            labels,
            data.splits.bins,
            fit_density=data.fit_density,
            num_features=getattr(self.encoder, "out_features", None),
            batch_size=data.batch_size,
        )
        self.regularizers = terms.regularizers
        if self.collapse_window == AUTO:
            window = suggest_settings(labels, data.splits.bins, batch_size=max(2, data.batch_size)).window
            self.collapse_window = self.resolved["collapse_window"] = window
        self._size_lazy_layers(data.splits.train)
        self.shot_density = data.shot_density()
        self.val_metrics = data.metrics(self.shot_density, "val/")
        self.test_metrics = data.metrics(self.shot_density, "test/")
        self.collapse: CollapseMetric | None = None
        if self.collapse_window is not None:
            window = number("collapse_window", self.collapse_window)
            self.collapse = CollapseMetric(
                self.shot_density, window=window, distance=self.collapse_distance, prefix="train/"
            )

    @property
    def terms(self) -> Terms:
        """All that the training step adds up, as objects that this module shares."""
        return Terms(
            criterion=self.criterion,
            criterion_coefficient=self.criterion_coefficient,
            criterion_density=self.criterion_density,
            regularizers=self.regularizers,
            smoothing=self.smoothing,
            scale=self._scale,
        )

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self.criterion_coefficient = terms.criterion_coefficient
        self.criterion_density = terms.criterion_density
        self.regularizers = terms.regularizers

    def forward(self, inputs: Inputs) -> Tensor:
        """Predictions (n,) or (n, k) for a batch of inputs, in label units."""
        return self.in_label_units(predicted(self.head, self.encoder(inputs))[1])

    def on_train_epoch_start(self) -> None:
        """Tell the terms how far the training is."""
        self.terms.begin_epoch(epoch_share(self.trainer, self.first_epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Total loss of a batch."""
        inputs, labels, criterion_rows, regularizer_rows = make_views(*batch, self.views, self.view_mode)
        step = self.terms(
            self.head,
            self.encoder(inputs),
            labels,
            criterion_rows=criterion_rows,
            regularizer_rows=regularizer_rows,
        )
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in step.terms.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(step.labels),
            sync_dist=True,
        )
        if self.collapse is not None:
            self.collapse.update(*collapse_rows(self.in_label_units(step.predictions.detach()), step.labels))
        return step.terms["loss"]

    def on_train_epoch_end(self) -> None:
        """Tell the terms that the epoch ends; log the measure of feature collapse over it."""
        self.terms.end_epoch()
        if self.collapse is not None:
            self._log_metrics(self.collapse)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch into the validation metrics."""
        inputs, labels = batch
        self.val_metrics.update(at_label_size(self(inputs), labels), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_metrics(self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Count a batch into the test metrics; returns what the result file keeps."""
        inputs, labels = batch
        features, outputs = predicted(self.head, self.encoder(inputs))
        predictions = at_label_size(self.in_label_units(outputs), labels)
        self.test_metrics.update(predictions, labels)
        return kept_outputs(features, predictions, labels)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_metrics(self.test_metrics)

    def predict_step(self, batch: Batch | Inputs, batch_idx: int) -> Tensor:
        """Predictions of a batch, with or without labels in it; maps have the size of the labels if there are any."""
        if isinstance(batch, tuple | list):
            return at_label_size(self(batch[0]), batch[1])
        return cast("Tensor", self(batch))

    def in_label_units(self, predictions: Tensor) -> Tensor:
        """Labels or predictions as head and criterion see them, in label units."""
        scale = self._scale
        return predictions if scale is None else scale.in_label_units(predictions)

    @property
    def _scale(self) -> LabelScale | None:
        return LabelScale(self.label_mean, self.label_std) if self.standardise_labels else None

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
        groups = self.terms.parameter_groups(self.parameters(), self.criterion_lr)
        optimizer = self.optimizer(groups if len(groups) > 1 else groups[0]["params"])
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
            if group.get("name") == CRITERION:
                group["lr"] = self.criterion_lr


def epoch_share(trainer: Trainer, first_epoch: int = 0) -> float:
    """Share of a trainer's epochs, from the first on, done when the one that begins ends; 1 without an end."""
    epochs = (trainer.max_epochs or -1) - first_epoch  # -1 is without end
    # NOTE[DIFF]: the epoch that begins counts as done; from 0, most heads of UVOTE would learn nothing in it.
    return min(1.0, (trainer.current_epoch + 1 - first_epoch) / epochs) if epochs > 0 else 1.0


def _sized_head(encoder: nn.Module, make: Callable[[int], nn.Module]) -> nn.Module:
    out_features = getattr(encoder, "out_features", None)
    if not isinstance(out_features, int):
        raise TypeError(
            f"encoder: expected an integer attribute out_features to size the head, got {out_features!r} "
            f"from {type(encoder).__name__}; add it, or give a head"
        )
    return make(out_features)
