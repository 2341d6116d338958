"""Regularizers for a LightningModule that does not know of them."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from conr._checks import check_choice
from conr.data import RegressionData
from conr.density import Bins
from conr.density.default_bins import label_bins
from conr.methods.terms import Regularizer, Terms
from conr.training.module import epoch_share


class AddRegularizers(Callback):
    r"""Adds regularizers such as ConR to the loss of an existing LightningModule without changing it.

    While the trainer fits, the loss that ``training_step`` returns becomes $L + \sum_r \beta_r L_r$. The input of the
    network's head are the features for the regularizers, its output the predictions. When fitting ends, nothing is
    left in the module.

    Args:
        regularizers: by name, as the name is logged (``train/NAME``); each with its coefficient $\beta$ and its own
            density, which must be fitted. Numbers that are "auto" follow from the training labels when fitting starts.
        head: name of the submodule that turns features (n, d) into predictions (n,), (n, 1) or (n, k), such as
            ``"head"`` or ``"model.fc"``; ``module.named_modules()`` lists them.
        labels: gets a batch and returns its labels (n,) or (n, k), in the units of the head's output; by default the
            second item of a tuple or list, or the item ``"labels"`` of a dictionary.
        views: makes one random view of the inputs of a batch (inputs, labels). The regularizers then see two views of
            each sample, so that every one has a partner: those of ``training_step``, and those of a further pass
            ``module(views(inputs))``. No further pass if None.

    Raises:
        ValueError: no regularizer, or one with parameters that the module's optimizer would not know; (when fitting
            starts) a head that the module does not have, or manual optimization, which returns no loss to add to; (in a
            step) a batch without labels or of another form than expected; a head that was not called, or with other
            rows than the labels of the batch, once or several times over.
        RuntimeError: (in a step) a density that is not fitted.

    Notes:
        If ``training_step`` itself passes several views through the head, one after the other or stacked, the labels
        are repeated for each. Calls of the head without gradient, as a teacher's, are not looked at. What the module
        logs as its loss stays without the regularizers' terms. A further pass for ``views`` updates the statistics of
        batch norms too. State of a regularizer (`conr.losses.SRLLoss`, `conr.losses.CrossBatchMemory`) is part of the
        checkpoint. With several processes each regularizer does what it does in `RegressionModule`. Numbers for "auto"
        are in ``resolved`` and in the hyper-parameters of the trainer's loggers. Their labels are those of a
        `conr.data.RegressionData`, else of one pass over the training batches (of the first process), in default bins.

    Example:
        >>> from conr import ConRLoss
        >>> regularizer = Regularizer(ConRLoss(window=1.0), coefficient=4.0)
        >>> trainer = Trainer(callbacks=[AddRegularizers({"conr": regularizer}, head="head")], logger=False)
    """

    def __init__(
        self,
        regularizers: Mapping[str, Regularizer],
        *,
        head: str,
        labels: Callable[[Any], Tensor] | None = None,
        views: nn.Module | None = None,
    ) -> None:
        if not regularizers:
            raise ValueError("regularizers: expected at least one, got none")
        self.terms = Terms(regularizers=dict(regularizers))
        self.resolved: dict[str, float] = {}
        self.losses = nn.ModuleDict({name: term.loss for name, term in regularizers.items()})
        for name, parameter in self.losses.named_parameters():
            if parameter.requires_grad:
                raise ValueError(f"regularizers: expected none with parameters of its own to train, got {name}")
        self.head = head
        self.labels = _labels_of if labels is None else labels
        self.views = views
        self._loaded: dict[str, Any] | None = None
        self._calls: list[tuple[Tensor, Tensor]] = []
        self._hook: RemovableHandle | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the head, and put the regularizers behind ``training_step``."""
        if not pl_module.automatic_optimization:
            raise ValueError(
                "automatic_optimization: expected a training_step that returns the loss to add to, got False"
            )
        modules = dict(pl_module.named_modules())
        check_choice("head", self.head, [name for name in modules if name])
        self._resolve(trainer, modules[self.head])
        self._load()
        self.terms.modules.to(pl_module.device)
        if self.views is not None:
            self.views.to(pl_module.device)
        self._hook = modules[self.head].register_forward_hook(self._listen)
        step = pl_module.training_step

        @wraps(step)
        def regularized_step(batch: Any, *others: Any) -> Any:
            self._calls.clear()
            output = step(batch, *others)
            loss = output.get("loss") if isinstance(output, Mapping) else output
            if loss is None:
                return output
            loss = loss + self._terms(pl_module, batch)
            return {**output, "loss": loss} if isinstance(output, Mapping) else loss

        pl_module.training_step = regularized_step  # type: ignore[method-assign]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell regularizers how far the training is."""
        self.terms.begin_epoch(epoch_share(trainer))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell regularizers that keep state that the epoch ends."""
        self.terms.end_epoch()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the module as it was."""
        self._leave(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was."""
        self._leave(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """State of the regularizers, for a checkpoint."""
        return self.losses.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """State of the regularizers, from a checkpoint; those that wait for the training labels take it then."""
        self._loaded = state_dict
        if not self.terms.waits:
            self._load()

    def _load(self) -> None:
        if self._loaded is not None:
            self.losses.load_state_dict(self._loaded)
            self._loaded = None

    def _leave(self, module: LightningModule) -> None:
        self._calls.clear()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            del module.training_step

    def _listen(self, head: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if torch.is_grad_enabled() and inputs:
            self._calls.append((inputs[0], output))

    def _terms(self, module: LightningModule, batch: Any) -> Tensor:
        labels = self.labels(batch)  # (n,) or (n, k)
        if not self._calls:
            raise ValueError(f"head: expected {self.head!r} to be called with features in training_step, it was not")
        if self.views is not None:
            module(self.views(_inputs_of(batch)))
        features, predictions = (torch.cat(parts) for parts in zip(*self._calls, strict=True))  # (m, d), (m, ...)
        self._calls.clear()
        repeats, rest = divmod(len(features), max(len(labels), 1))
        if rest or not repeats:
            raise ValueError(
                f"head: expected rows for {len(labels)} labels, once or several times over, got {len(features)}"
            )
        labels = torch.cat([labels] * repeats)  # (m,) or (m, k)
        if predictions.numel() == labels.numel():
            predictions = predictions.view_as(labels)
        terms = self.terms.regularizer_terms(features, labels, predictions)
        for name, value in terms.items():
            module.log(
                f"train/{name}", value.detach(), on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True
            )
        return self.terms.total(terms)

    def _resolve(self, trainer: Trainer, head: nn.Module) -> None:
        if not self.terms.waits:
            return
        labels, bins, batch_size = self._training_labels(trainer)
        numbers = self.terms.numbers(
            labels, bins, batch_size=batch_size, num_features=getattr(head, "in_features", None)
        )
        self.resolved = self.terms.put(trainer.strategy.broadcast(numbers))
        for logger in trainer.loggers:
            logger.log_hyperparams(self.resolved)

    def _training_labels(self, trainer: Trainer) -> tuple[Tensor, Bins, int]:
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, RegressionData):
            return data.train_labels(), data.splits.bins, data.batch_size
        with torch.random.fork_rng(devices=[]):  # the order of the batches stays what it would be
            batches = [self.labels(batch).double().cpu() for batch in cast("Any", trainer.train_dataloader)]
        labels = torch.cat(batches)
        return labels, label_bins(labels), len(batches[0])


def _labels_of(batch: Any) -> Tensor:
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return cast("Tensor", batch[1])
    if isinstance(batch, Mapping) and "labels" in batch:
        return cast("Tensor", batch["labels"])
    raise ValueError(
        f"batch: expected (inputs, labels) or a dictionary with 'labels', got {type(batch).__name__}; "
        "give AddRegularizers a function labels=..."
    )


def _inputs_of(batch: Any) -> Any:
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[0]
    raise ValueError(f"views: expected a batch (inputs, labels) to make a view of, got {type(batch).__name__}")
