"""The training loop of the estimator."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number, check_whole
from conr.data.sampling import EpochSampler, sampling_weights
from conr.density import REGIONS, Bins, LabelDensity
from conr.estimators.network import TableNetwork, in_batches
from conr.methods.objective import Objective
from conr.methods.scale import LabelScale, flat
from conr.methods.terms import CRITERION, Terms

MONITORS = ("mae", "bmae", "few")

_LARGEST_NORM = 1.0


class Part(NamedTuple):
    """Rows of a table on the device of the training."""

    inputs: Tensor  # (n, columns)
    labels: Tensor  # (n, k), float64, in label units
    weights: Tensor | None  # (n,), of the samples


@dataclass
class Schedule:
    """Length and rate of a training.

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
        check_whole("max_epochs", self.max_epochs, low=1)
        check_whole("patience", self.patience, low=1)
        check_whole("batch_size", self.batch_size, low=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("weight_decay", self.weight_decay, low=0)
        check_choice("monitor", self.monitor, MONITORS)


@dataclass
class Fitted:
    """Result of a training.

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
    terms, rrt = objective.terms, objective.rrt
    if terms.scale is not None:
        terms.scale = LabelScale(*(one.to(train.labels.device) for one in terms.scale))
    untrained = copy.deepcopy(terms.criterion)
    first = _Stage(network, terms, objective.criterion_lr, schedule, bins=bins, density=density)
    # Without a criterion no head has learnt whose error could tell.
    chooses = validation if terms.criterion_coefficient and (rrt is None or rrt.epoch == "best") else None
    fitted = first.run(train, chooses, epochs=schedule.max_epochs, power=objective.sampling_power)
    if rrt is None:
        return fitted
    if rrt.new_head:
        network.head = objective.make_head(network.encoder.out_features).to(train.inputs)
    second = _Stage(
        network,
        rrt.second_stage(terms, untrained),
        objective.criterion_lr,
        replace(schedule, learning_rate=rrt.lr or schedule.learning_rate),
        bins=bins,
        density=density,
        first_epoch=len(fitted.history),
    )
    for weights in second.terms.densities:
        weights.fit(flat(train.labels.cpu()), bins)
    network.encoder.requires_grad_(requires_grad=False)
    retrained = second.run(train, validation, epochs=rrt.epochs, frozen=True)
    network.encoder.requires_grad_()
    return Fitted(fitted.history + retrained.history, retrained.best_epoch)


class _Stage:
    """One training: of the whole network, or of its head."""

    def __init__(
        self,
        network: TableNetwork,
        terms: Terms,
        criterion_lr: float,
        schedule: Schedule,
        *,
        bins: Bins,
        density: LabelDensity,
        first_epoch: int = 0,
    ) -> None:
        self.network = network
        self.terms = terms
        self.criterion_lr = criterion_lr
        self.schedule = schedule
        self.bins = bins
        self.density = density
        self.first_epoch = first_epoch

    def run(
        self, train: Part, validation: Part | None, *, epochs: int, power: float = 0.0, frozen: bool = False
    ) -> Fitted:
        schedule, network, terms = self.schedule, self.network, self.terms
        parts = terms.modules.to(train.inputs.device)
        learning = [one for one in (*network.parameters(), *parts.parameters()) if one.requires_grad]
        optimizer = torch.optim.AdamW(
            terms.parameter_groups(learning, self.criterion_lr),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        batches = _Batches(train, schedule, power=power, bins=self.bins)
        fitted = Fitted()
        best, kept = math.inf, None
        for epoch in range(epochs):
            network.train()
            if frozen:
                network.encoder.eval()
            terms.begin_epoch((epoch + 1) / epochs)
            number = self.first_epoch + epoch + 1
            losses = []
            for position, rows in enumerate(batches.of_epoch(number)):
                done = epoch / epochs if frozen else (epoch + position / len(batches)) / epochs
                _set_rate(optimizer, schedule.learning_rate * (1 + math.cos(math.pi * done)) / 2)
                losses.append(self._step(optimizer, train, rows))
            terms.end_epoch()
            value = self._end_epoch(fitted, number, torch.stack(losses), validation)
            if value < best:
                best, fitted.best_epoch, kept = value, number, self._state()
            if number - fitted.best_epoch >= schedule.patience:
                break
        for part, state in zip(self._kept_parts(), kept or (), strict=False):
            part.load_state_dict(state)
        network.eval()
        return fitted

    def _kept_parts(self) -> list[nn.Module]:
        return [part for part in (self.network, self.terms.smoothing) if part is not None]

    def _state(self) -> list[dict[str, Tensor]]:
        return [{name: value.clone() for name, value in part.state_dict().items()} for part in self._kept_parts()]

    def _end_epoch(self, fitted: Fitted, epoch: int, losses: Tensor, validation: Part | None) -> float:
        """The validation error; without validation rows one that falls with each epoch, so that the last is best."""
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
        targets, _ = self.terms.scaled(part.labels, self.bins)
        errors = (predictions.reshape(targets.shape) - targets).abs().mean(dim=1)  # (n,)
        if self.schedule.monitor == "few":
            few = (self.density.regions(flat(part.labels.cpu())) == REGIONS.index("few")).to(errors.device)
            errors = errors[few] if few.any() else errors
        elif self.schedule.monitor == "bmae":
            index = self.bins.index(flat(part.labels))
            counts = torch.bincount(index, minlength=len(self.bins))
            sums = errors.new_zeros(len(self.bins)).index_add(0, index, errors)
            errors = sums[counts > 0] / counts[counts > 0]
        value = float(errors.mean())
        return value if math.isfinite(value) else math.inf

    def _step(self, optimizer: torch.optim.Optimizer, train: Part, rows: Tensor) -> Tensor:
        step = self.terms(
            self.network.head,
            self.network.encoder(train.inputs[rows]),  # (n, members, d)
            flat(train.labels[rows]),
            sample_weights=None if train.weights is None else train.weights[rows],
        )
        loss = step.terms["loss"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([one for group in optimizer.param_groups for one in group["params"]], _LARGEST_NORM)
        optimizer.step()
        return loss.detach()


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


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if group.get("name") != CRITERION:
            group["lr"] = rate
