"""The training loop of the estimator."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number
from conr.data.sampling import EpochSampler, sampling_weights
from conr.density import REGIONS, Bins, LabelDensity, SampleWeights
from conr.estimators.network import TableNetwork, in_batches
from conr.methods.objective import Objective, flat, retraining_density

MONITORS = ("mae", "bmae", "few")

_LARGEST_NORM = 1.0


class Part(NamedTuple):
    """Rows of a table on the device of the training."""

    inputs: Tensor  # (n, columns)
    labels: Tensor  # (n, k), float64, in label units
    targets: Tensor  # (n, k), float32, in deviations
    weights: Tensor | None  # (n,), of the samples


@dataclass
class Schedule:
    """How long and how fast a network learns.

    Args:
        max_epochs: at most, and the length of the cosine that the learning rate follows.
        patience: epochs without a better validation error after which training ends.
        batch_size: rows per step.
        learning_rate: at the start.
        weight_decay: of AdamW.
        monitor: the validation error whose lowest value marks the best epoch.
        seed: of the order of the rows.
        report: called with each line about the training; silent if None.
    """

    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    monitor: str
    seed: int
    report: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        check_number("max_epochs", self.max_epochs, low=1)
        check_number("patience", self.patience, low=1)
        check_number("batch_size", self.batch_size, low=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("weight_decay", self.weight_decay, low=0)
        check_choice("monitor", self.monitor, MONITORS)


@dataclass
class Fitted:
    """What training left.

    Args:
        history: per epoch the mean training loss, and the validation error if there is a validation part.
        best_epoch: whose weights the network has, counted from 1.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0


def fit_network(
    network: TableNetwork,
    objective: Objective,
    train: Part,
    validation: Part | None,
    *,
    bins: Bins,
    density: LabelDensity,
    schedule: Schedule,
) -> Fitted:
    """Train a network in place, and leave it with the weights of its best epoch.

    Criterion and regularizers see each member's outputs: the criterion all members, the regularizers two members drawn
    anew at each step, which are two views of every row.

    Args:
        network: to train, on the device of the parts.
        objective: what it learns.
        train: training rows.
        validation: rows that choose the best epoch; the last epoch is kept if None.
        bins: of the labels, in label units.
        density: training counts, for the shot region of validation rows.
        schedule: how long and how fast.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    smoothing = None
    if objective.make_smoothing is not None:
        smoothing = objective.make_smoothing(network.encoder.out_features).to(train.inputs.device)
    stage = _Stage(network, objective, smoothing, schedule, bins=bins, density=density)
    chooses = validation if objective.criterion_coefficient else None  # no head has learnt whose error could tell
    fitted = stage.run(train, chooses, epochs=schedule.max_epochs, power=objective.sampling_power)
    if objective.rrt is not None:
        _retrain_head(stage, train, validation, fitted)
    return fitted


def _retrain_head(stage: "_Stage", train: Part, validation: Part | None, fitted: Fitted) -> None:
    objective, network = stage.objective, stage.network
    rrt = objective.rrt or {}
    if rrt.get("new_head", True):
        network.head = objective.make_head(network.encoder.out_features).to(train.inputs.device)
    network.encoder.requires_grad_(requires_grad=False)
    stage.objective = copy.copy(objective)
    stage.objective.density = retraining_density(rrt, train.labels.cpu(), stage.bins)
    stage.objective.regularizers = {}
    stage.objective.criterion_coefficient = 1.0
    second = stage.run(train, validation, epochs=rrt["epochs"], power=0.0, frozen=True)
    network.encoder.requires_grad_()
    fitted.best_epoch = len(fitted.history) + second.best_epoch
    fitted.history += second.history


class _Stage:
    """One training: of the whole network, or of its head."""

    def __init__(
        self,
        network: TableNetwork,
        objective: Objective,
        smoothing: nn.Module | None,
        schedule: Schedule,
        *,
        bins: Bins,
        density: LabelDensity,
    ) -> None:
        self.network = network
        self.objective = objective
        self.smoothing = smoothing
        self.schedule = schedule
        self.bins = bins
        self.density = density

    def run(self, train: Part, validation: Part | None, *, epochs: int, power: float, frozen: bool = False) -> Fitted:
        schedule, network = self.schedule, self.network
        device = train.inputs.device
        for part in (network, self.objective.criterion, *(one.loss for one in self.objective.regularizers.values())):
            part.to(device)
        weights = _weights(self.objective.density, train, train.weights)
        of_regularizers = {
            name: _weights(one.density, train, None) for name, one in self.objective.regularizers.items()
        }
        optimizer = self._optimizer()
        batches = _Batches(train, schedule, power=power, bins=self.bins)
        fitted = Fitted()
        best, kept = math.inf, None
        for epoch in range(1, epochs + 1):
            network.train()
            if frozen:
                network.encoder.eval()
            _call(self.objective.criterion, "set_progress", epoch / epochs)
            losses = []
            for position, rows in enumerate(batches.of_epoch(epoch)):
                done = (epoch - 1 + position / len(batches)) / epochs
                _set_rate(optimizer, schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2)
                losses.append(self._step(optimizer, train, rows, weights, of_regularizers))
            value = self._end_epoch(fitted, epoch, torch.stack(losses), validation)
            if value < best:
                best, fitted.best_epoch, kept = value, epoch, _copied(network)
            if epoch - fitted.best_epoch >= schedule.patience:
                break
        if kept is not None:
            network.load_state_dict(kept)
        network.eval()
        return fitted

    def _end_epoch(self, fitted: Fitted, epoch: int, losses: Tensor, validation: Part | None) -> float:
        """The validation error; without validation rows one that falls with each epoch, so that the last is best."""
        for part in (*(one.loss for one in self.objective.regularizers.values()), self.smoothing):
            _call(part, "on_train_epoch_end")
        record = {"epoch": float(epoch), "loss": float(losses.mean())}
        if not math.isfinite(record["loss"]):
            raise FloatingPointError(
                f"training: expected a finite loss, got {record['loss']} in epoch {epoch} (a lower learning_rate?)"
            )
        value = -float(epoch)
        if validation is not None:
            record[self.schedule.monitor] = value = self.error(validation)
        fitted.history.append(record)
        if self.schedule.report is not None:
            self.schedule.report("  ".join(f"{name} {value:.4g}" for name, value in record.items()))
        return value

    def error(self, part: Part) -> float:
        """The monitored validation error, in deviations of the label."""
        _, predictions = in_batches(self.network, part.inputs)
        errors = (predictions.reshape(part.targets.shape) - part.targets).abs().mean(dim=1)  # (n,)
        if self.schedule.monitor == "few":
            few = (self.density.regions(flat(part.labels.cpu())) == REGIONS.index("few")).to(errors.device)
            errors = errors[few] if few.any() else errors
        elif self.schedule.monitor == "bmae":
            index = self.bins.index(flat(part.labels))
            counts = torch.bincount(index, minlength=len(self.bins))
            sums = torch.zeros(len(self.bins), device=errors.device).index_add(0, index, errors)
            errors = sums[counts > 0] / counts[counts > 0]
        value = float(errors.mean())
        return value if math.isfinite(value) else math.inf

    def _step(
        self,
        optimizer: torch.optim.Optimizer,
        train: Part,
        rows: Tensor,
        weights: Tensor | None,
        of_regularizers: dict[str, Tensor | None],
    ) -> Tensor:
        network, members = self.network, self.network.encoder.members
        targets = train.targets[rows]  # (n, k)
        features = network.encoder(train.inputs[rows])  # (n, members, d)
        flattened = features.flatten(0, 1)  # (n * members, d)
        repeated = flat(targets.repeat_interleave(members, dim=0))
        smoothed = flattened if self.smoothing is None else self.smoothing(flattened, repeated)
        outputs = network.head(smoothed)  # (n * members, ...)
        own = None if weights is None else weights[rows].repeat_interleave(members)
        loss = self.objective.criterion_coefficient * self.objective.criterion(outputs, repeated, own)
        if self.objective.regularizers:
            with torch.no_grad():
                plain = outputs if self.smoothing is None else network.head(flattened)
                predictions = torch.unflatten(network.point(plain), 0, (-1, members))  # (n, members) or (n, members, k)
            chosen = torch.randperm(members)[:2].to(features.device)
            views = features.index_select(1, chosen).transpose(0, 1).flatten(0, 1)  # (views * n, d)
            predicted = predictions.index_select(1, chosen).transpose(0, 1).flatten(0, 1)
            labels = flat(targets.repeat(len(chosen), 1))
            for name, term in self.objective.regularizers.items():
                scale = of_regularizers[name]
                scale = None if scale is None else scale[rows].repeat(len(chosen))
                loss = loss + term.coefficient * term.loss(views, labels, predicted, scale)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_NORM)
        optimizer.step()
        return cast("Tensor", loss.detach())

    def _optimizer(self) -> torch.optim.Optimizer:
        learning = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        groups: list[dict[str, Any]] = [{"params": learning, "scheduled": True}]
        own = list(self.objective.criterion.parameters())
        if own:
            groups.append({"params": own, "lr": 0.01, "weight_decay": 0.0, "scheduled": False})
        return torch.optim.AdamW(
            groups, lr=self.schedule.learning_rate, weight_decay=self.schedule.weight_decay, fused=True
        )


class _Batches:
    """Rows of each step, in an order that depends on seed and epoch alone."""

    def __init__(self, train: Part, schedule: Schedule, *, power: float, bins: Bins) -> None:
        weights = sampling_weights(flat(train.labels.cpu()), bins, power=power) if power else None
        self._sampler = EpochSampler(len(train.inputs), weights=weights, seed=schedule.seed)
        self._size = schedule.batch_size
        self._device = train.inputs.device

    def __len__(self) -> int:
        return math.ceil(self._sampler.size / self._size)

    def of_epoch(self, epoch: int) -> Iterator[Tensor]:
        self._sampler.set_epoch(epoch)
        order = torch.tensor(list(self._sampler))
        # Equal parts, as a rest of one row would weigh as much as a whole batch.
        yield from order.to(self._device).tensor_split(len(self))


def _weights(density: SampleWeights | None, part: Part, own: Tensor | None) -> Tensor | None:
    if density is None:
        return own
    weights = density.weights(flat(part.labels.cpu())).to(part.inputs.device)  # (n,)
    return weights if own is None else weights * own


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if group["scheduled"]:
            group["lr"] = rate


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _call(part: nn.Module | None, method: str, *arguments: object) -> None:
    if part is not None and hasattr(part, method):
        getattr(part, method)(*arguments)
