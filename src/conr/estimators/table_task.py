"""A table ready for training: networks of any method on the same rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from conr.density import Bins, ConRSettings, LabelDensity
from conr.estimators.fitting import Fitted, Part, Schedule, fit_network
from conr.estimators.network import TableNetwork, table_encoder
from conr.estimators.support import own_randomness
from conr.estimators.validation import Validation
from conr.methods.objective import build_objective
from conr.methods.scale import LabelScale


class Trained(NamedTuple):
    """A network, and how its training went."""

    network: TableNetwork
    fitted: Fitted


@dataclass
class TableTask:
    """Rows and settings of a training.

    Args:
        train: training rows.
        validation: rows that choose the best epoch, if there are any.
        bins: of the labels.
        density: of the training labels.
        scale: of the training labels.
        conr_settings: ConR's numbers.
        arguments: of the estimator, for the network.
    """

    train: Part
    validation: Part | None
    bins: Bins
    density: LabelDensity
    scale: LabelScale
    conr_settings: ConRSettings
    arguments: Mapping[str, Any]

    @property
    def targets(self) -> Tensor:
        """Standardised labels of the training rows, shape (n, k), float32."""
        return self.scale.standardised(self.train.labels.cpu()).float()

    def trained(self, method: str, schedule: Schedule) -> Trained:
        """A network from the random numbers of the schedule's seed; those of torch are as before afterwards.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        device = self.train.inputs.device
        with own_randomness(schedule.seed, device):
            objective = build_objective(
                method,
                self.train.labels.cpu(),
                self.bins,
                self.scale,
                self.conr_settings,
                features=self.arguments["width"],
                batch_size=schedule.batch_size,
            )
            encoder = table_encoder(self.arguments).fit_inputs(self.train.inputs.cpu())
            network = TableNetwork(encoder, objective.make_head(encoder.out_features)).to(device)
            fitted = fit_network(
                network, objective, self.train, self.validation, bins=self.bins, density=self.density, schedule=schedule
            )
        return Trained(network, fitted)

    def balanced_error(self, network: TableNetwork) -> float:
        """Mean over label bins of the mean absolute error of validation rows, in deviations of the label."""
        part = self.validation
        assert part is not None  # noqa: S101  the caller has checked it
        targets = self.scale.standardised(part.labels.cpu()).to(part.labels.device)
        judge = Validation(part.inputs, targets, part.labels, bins=self.bins, density=self.density, monitor="bmae")
        return judge.error(network)
