"""The training loop of the estimator."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from conr._checks import check_choice, check_number, check_whole
from conr.data.sampling import EpochSampler, sampling_weights
from conr.density import Bins, LabelDensity
from conr.estimators.network import TableNetwork
from conr.estimators.validation import MONITORS, Validation
from conr.methods.objective import Objective
from conr.methods.scale import LabelScale, flat
from conr.methods.terms import CRITERION, Terms

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
        deadline: time, as of `time.monotonic`, at which training ends; the cosine becomes as long as the time allows.
    """

    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    monitor: str
    seed: int
    report: Callable[[str], None] | None = None
    deadline: float = math.inf

    def __post_init__(self) -> None:
        check_whole("max_epochs", self.max_epochs, low=1)
        check_whole("patience", self.patience, low=1)
        check_whole("batch_size", self.batch_size, low=1)
        check_number("learning_rate", self.learning_rate, low=0, open_low=True)
        check_number("weight_decay", self.weight_decay, low=0)
        check_choice("monitor", self.monitor, MONITORS)

    def seconds_left(self) -> float:
        """Time until the deadline."""
        return self.deadline - time.monotonic()

    def affordable(self, epochs: int, *, done: int, start: float) -> float:
        """Epochs of a training until the deadline, of those it is to have, by the time that the first ones took."""
        taken = max(time.monotonic() - start, 1e-9)
        return min(float(epochs), done + max(0.0, self.seconds_left() / taken * done))


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
        judge = self._validation(validation)
        fitted = Fitted()
        best, kept = math.inf, None
        start, length = time.monotonic(), float(epochs)
        for epoch in range(epochs):
            if epoch and epoch + 1 > length:
                break
            network.train()
            if frozen:
                network.encoder.eval()
            terms.begin_epoch(min(1.0, (epoch + 1) / length))
            number = self.first_epoch + epoch + 1
            losses = []
            for position, rows in enumerate(batches.of_epoch(number)):
                done = epoch if frozen else epoch + position / len(batches)
                _set_rate(optimizer, schedule.learning_rate * (1 + math.cos(math.pi * min(1.0, done / length))) / 2)
                losses.append(self._step(optimizer, train, rows))
                if schedule.seconds_left() < 0:
                    break
            terms.end_epoch()
            value = self._end_epoch(fitted, number, torch.stack(losses), judge)
            if value < best:
                best, fitted.best_epoch = value, number
                kept = None if judge is None else self._state()
            if number - fitted.best_epoch >= schedule.patience:
                break
            length = schedule.affordable(epochs, done=epoch + 1, start=start)
        for part, state in zip(self._kept_parts(), kept or (), strict=False):
            part.load_state_dict(state)
        network.eval()
        return fitted

    def _kept_parts(self) -> list[nn.Module]:
        return [part for part in (self.network, self.terms.smoothing) if part is not None]

    def _state(self) -> list[dict[str, Tensor]]:
        return [{name: value.clone() for name, value in part.state_dict().items()} for part in self._kept_parts()]

    def _end_epoch(self, fitted: Fitted, epoch: int, losses: Tensor, validation: Validation | None) -> float:
        """The validation error; without validation rows one that falls with each epoch, so that the last is best."""
        record = {"epoch": float(epoch), "loss": float(losses.mean())}
        if not math.isfinite(record["loss"]):
            raise FloatingPointError(
                f"training: expected a finite loss, got {record['loss']} in epoch {epoch} (a lower learning_rate?)"
            )
        value = -float(epoch)
        if validation is not None:
            record[self.schedule.monitor] = value = validation.error(self.network)
        fitted.history.append(record)
        if self.schedule.report is not None:
            self.schedule.report("  ".join(f"{name} {value:.4g}" for name, value in record.items()))
        return value

    def _validation(self, part: Part | None) -> Validation | None:
        if part is None:
            return None
        targets, _ = self.terms.scaled(part.labels, self.bins)
        return Validation(
            part.inputs, targets, part.labels, bins=self.bins, density=self.density, monitor=self.schedule.monitor
        )

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
