"""The terms of a training step: a criterion, regularizers, their weights, and smoothing between features and head."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from conr._auto import AUTO, Auto, number
from conr.density import Bins, SampleWeights
from conr.density.suggestions import automatic_settings
from conr.losses import L1, MSE
from conr.methods.automatic import is_automatic, put_numbers
from conr.methods.dense import criterion_rows as rows_of_criterion
from conr.methods.dense import label_weights
from conr.methods.hooks import hooks_of
from conr.methods.scale import LabelScale

CRITERION = "criterion"
"""Name of the criterion's term, and of the optimizer's group with its own parameters."""

CRITERION_LR = 0.01
"""Learning rate of the criterion's own parameters, unless another one is given."""


@dataclass
class Regularizer:
    """A regularizer with its place in the total loss.

    Args:
        loss: called as ``loss(features, labels, predictions, weights)``, returns a scalar. It may have the methods of
            `conr.methods.Hooks`, as `conr.losses.SRLLoss` has.
        coefficient: factor of its value in the total loss (beta of ConR); "auto" is that of
            `conr.density.suggest_settings`, whose rule is for ConR.
        density: gives the weights that are passed to it; weights of 1 if None.
    """

    loss: nn.Module
    coefficient: float | Auto = 1.0
    density: SampleWeights | None = None


class Step(NamedTuple):
    """Terms of a batch, and the rows that regularizers saw."""

    terms: dict[str, Tensor]  # scalars by name: "criterion", each regularizer, and "loss", their sum with coefficients
    predictions: Tensor  # of the rows that regularizers see, in the unit of the head
    labels: Tensor  # of these rows, in label units


@dataclass
class Terms:
    r"""A mix of methods as one objective: $\alpha\, L_{criterion} + \sum_r \beta_r L_r$.

    The one place that knows what each part sees. Densities and smoothing see labels in label units; head, criterion and
    regularizers see them standardised if there is a scale.

    Args:
        criterion: called as ``criterion(outputs, labels, weights)`` with what the head returns.
        criterion_coefficient: $\alpha$, at least 0.
        criterion_density: gives the criterion's weights; unweighted if None.
        regularizers: by name, as the name is logged.
        smoothing: a layer between features and head, called as ``smoothing(features, labels)``.
        scale: of the labels; None leaves them as they are.
    """

    criterion: nn.Module = field(default_factory=L1)
    criterion_coefficient: float = 1.0
    criterion_density: SampleWeights | None = None
    regularizers: dict[str, Regularizer] = field(default_factory=dict)
    smoothing: nn.Module | None = None
    scale: LabelScale | None = None

    def fit(
        self,
        labels: Tensor,
        bins: Bins,
        *,
        fit_density: Callable[[SampleWeights], object] | None = None,
        num_features: int | None = None,
        batch_size: int = 64,
    ) -> dict[str, float]:
        """Put numbers in the place of "auto", and fit all parts; returns the numbers, by names such as "conr.window".

        Args:
            labels: of training, shape (n,) or (n, k), in label units.
            bins: of the labels.
            fit_density: fits a density; on the labels and bins if None.
            num_features: of the encoder.
            batch_size: inputs per step.
        """
        targets, inner = self.scaled(labels, bins)
        found = {}
        if self.waits:
            found = self.put(self.numbers(labels, bins, num_features=num_features, batch_size=batch_size))
        for part in (self.criterion, *self.losses):
            hooks_of(part).fit(targets, inner)
        hooks_of(self.smoothing).fit(labels, bins)
        for density in self.densities:
            density.fit(labels, bins) if fit_density is None else fit_density(density)
        return found

    @property
    def waits(self) -> bool:
        """True while a number of the criterion or of a regularizer is "auto"."""
        coefficients = [term.coefficient == AUTO for term in self.regularizers.values()]
        return any(coefficients) or any(map(is_automatic, (self.criterion, *self.losses)))

    def numbers(
        self, labels: Tensor, bins: Bins, *, num_features: int | None = None, batch_size: int = 64
    ) -> dict[str, float]:
        """Numbers for "auto" by the name of the setting; arguments as for `fit`."""
        criterion = "mse" if isinstance(self.criterion, MSE) else "l1"
        numbers = automatic_settings(*self.scaled(labels, bins), criterion=criterion, batch_size=max(2, batch_size))
        return numbers if num_features is None else numbers | {"num_features": num_features}

    def put(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Replace what is "auto" by numbers of these names; returns those that were put, by names as "conr.window"."""
        found = {f"{CRITERION}.{name}": value for name, value in put_numbers(self.criterion, numbers).items()}
        for name, term in self.regularizers.items():
            found |= {f"{name}.{setting}": value for setting, value in put_numbers(term.loss, numbers).items()}
            if term.coefficient == AUTO:
                self.regularizers[name] = replace(term, coefficient=numbers["coefficient"])
                found[f"{name}.coefficient"] = numbers["coefficient"]
        return found

    def scaled(self, labels: Tensor, bins: Bins) -> tuple[Tensor, Bins]:
        """Labels (n,) or (n, k) and their bins as head, criterion and regularizers see them."""
        return (labels, bins) if self.scale is None else (self.scale.standardised(labels), self.scale.bins(bins))

    def begin_epoch(self, share: float) -> None:
        """Tell all parts the share of all epochs that will be done when this one ends, in (0, 1]."""
        for part in (self.criterion, *self.losses, self.smoothing):
            hooks_of(part).set_progress(share)

    def end_epoch(self) -> None:
        """Tell all parts that an epoch of training ends."""
        for part in (self.criterion, *self.losses, self.smoothing):
            hooks_of(part).on_train_epoch_end()

    def __call__(
        self,
        head: nn.Module,
        features: Tensor,
        labels: Tensor,
        *,
        criterion_rows: slice = slice(None),
        regularizer_rows: slice = slice(None),
        sample_weights: Tensor | None = None,
    ) -> Step:
        """All terms of a batch.

        Of an ensemble, the criterion sees every member's row, and regularizers two members drawn anew as the two views
        of each row. What regularizers get as predictions is the head's of the features before smoothing, as in ConR's
        released code.

        Args:
            head: features to outputs; a method ``point(outputs)`` turns outputs that say more into predictions.
            features: shape (n, d), maps (n, d, h, w), or of an ensemble (n, members, d).
            labels: shape (n,), (n, k) or maps (n, k, h, w), in label units.
            criterion_rows: which of the n the criterion sees.
            regularizer_rows: which of them the regularizers see.
            sample_weights: shape (n,), factors of the criterion's weights.
        """
        members = features.shape[1] if features.ndim == 3 else 1
        rows, row_labels = features, labels
        if features.ndim == 3:
            # Member by member, as an ensemble computes them: no copy is needed.
            rows = features.transpose(0, 1).flatten(0, 1)  # (members * n, d)
            row_labels = labels.repeat(members, *[1] * (labels.ndim - 1))  # (members * n, ...)
        smoothed = rows if self.smoothing is None else self.smoothing(rows, row_labels)
        outputs = head(smoothed)
        plain = outputs
        if smoothed is not rows:
            with torch.no_grad():
                plain = head(rows)
        weights = label_weights(self.criterion_density, labels[criterion_rows])
        if sample_weights is not None:
            own = sample_weights[criterion_rows]
            weights = own if weights is None else weights * own
        if members > 1 and weights is not None:
            weights = weights.repeat(members)
        of_criterion = _Rows(criterion_rows, members)
        outputs, targets = of_criterion(outputs), of_criterion(self._targets(row_labels, rows))
        criterion = self.criterion(*rows_of_criterion(outputs, targets, weights))
        of_regularizers = _Rows(regularizer_rows, members, _two_of(members, rows.device))
        seen, seen_labels = of_regularizers(rows), of_regularizers(row_labels)
        predictions = of_regularizers(point(head, plain))
        terms = {CRITERION: criterion} | self.regularizer_terms(seen, seen_labels, predictions)
        total = self.total(terms, self.criterion_coefficient * criterion)
        return Step(terms | {"loss": total}, predictions, seen_labels)

    def regularizer_terms(self, features: Tensor, labels: Tensor, predictions: Tensor) -> dict[str, Tensor]:
        """The regularizers' values by name: scalars, without coefficients; arguments as those of a regularizer.

        Labels (n,), (n, k) or (n, k, h, w) are in label units, predictions in the unit of the head.
        """
        targets = self._targets(labels, features)
        return {
            name: term.loss(features, targets, predictions, label_weights(term.density, labels))
            for name, term in self.regularizers.items()
        }

    def total(self, terms: dict[str, Tensor], criterion: Tensor | float = 0.0) -> Tensor:
        """The criterion's term, already with its coefficient, and the regularizers' terms times theirs."""
        total = criterion
        for name, term in self.regularizers.items():
            total = total + number(f"{name}.coefficient", term.coefficient) * terms[name]
        return cast("Tensor", total)

    @property
    def losses(self) -> list[nn.Module]:
        """Those of the regularizers."""
        return [term.loss for term in self.regularizers.values()]

    @property
    def densities(self) -> list[SampleWeights]:
        """Those of the criterion and of the regularizers."""
        densities = (self.criterion_density, *(term.density for term in self.regularizers.values()))
        return [density for density in densities if density is not None]

    @property
    def modules(self) -> nn.ModuleList:
        """All parts: criterion, regularizers, smoothing and densities."""
        parts = (self.criterion, *self.losses, self.smoothing, *cast("list[nn.Module]", self.densities))
        return nn.ModuleList([part for part in parts if part is not None])

    def parameter_groups(self, parameters: Iterable[nn.Parameter], criterion_lr: float) -> list[dict[str, Any]]:
        """Groups for an optimizer: the parameters, and those of the criterion with a rate of their own, without decay.

        The second group is there if the criterion has parameters. Its name is "criterion"; schedules leave it alone.
        """
        own = list(self.criterion.parameters())
        others = [parameter for parameter in parameters if all(parameter is not one for one in own)]
        if not own:
            return [{"params": others}]
        return [{"params": others}, {"name": CRITERION, "params": own, "lr": criterion_lr, "weight_decay": 0.0}]

    def _targets(self, labels: Tensor, features: Tensor) -> Tensor:
        targets = labels if self.scale is None else self.scale.standardised(labels)
        # Exact label units may be float64, as the table of a CSV; criteria compute as the network does.
        exact = targets.dtype == torch.float64
        return targets.to(torch.promote_types(features.dtype, torch.float32)) if exact else targets


def point(head: nn.Module, outputs: Tensor) -> Tensor:
    """Predictions (n,) or (n, k) of what a head returns."""
    method = getattr(head, "point", None)
    return outputs if method is None else cast("Tensor", method(outputs))


def predicted(head: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    """Features (n, d) and predictions (n,) or (n, k), or maps, in the unit of the head: means over an ensemble.

    Args:
        head: as for `Terms`.
        features: shape (n, d), maps (n, d, h, w), or of an ensemble (n, members, d).
    """
    if features.ndim != 3:
        return features, point(head, head(features))
    members = features.shape[1]
    predictions = point(head, head(features.transpose(0, 1).flatten(0, 1)))  # (members * n,) or (members * n, k)
    return features.mean(dim=1), torch.unflatten(predictions, 0, (members, -1)).mean(dim=0)


class _Rows(NamedTuple):
    """Some of the samples in values (members * n, ...): with all their members, or with chosen ones as views."""

    samples: slice
    members: int
    chosen: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        if self.members == 1:
            return values[self.samples]
        values = torch.unflatten(values, 0, (self.members, -1))[:, self.samples]  # (members, m, ...)
        if self.chosen is not None:
            values = values.index_select(0, self.chosen)  # (views, m, ...)
        return values.flatten(0, 1)


def _two_of(members: int, device: torch.device) -> Tensor | None:
    return torch.randperm(members)[:2].to(device) if members > 1 else None
