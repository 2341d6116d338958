"""RRT, regressor re-training: a second stage of training, for the head alone."""

from dataclasses import dataclass, replace

from torch import nn

from conr._checks import check_choice, check_number
from conr.density import LabelDensity, SampleWeights
from conr.methods.terms import Terms

EPOCHS = ("best", "last")
"""Epochs of the first stage that the encoder can be from."""


@dataclass
class RRT:
    r"""Settings of regressor re-training: a second training of the head alone.

    $$\min_{h} \sum_i w_i \, \ell(h(f(x_i)), y_i), \qquad w_i \propto N_{b(i)}^{-p}$$

    Symbols: $f$ the encoder of the first stage, which stays as it is, $h$ the head, $\ell$ the criterion, $N_b$
    training samples in bin b, $p$ the power. Source: Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021,
    after the decoupled training of classifiers by Kang et al., ICLR 2020.

    Args:
        epochs: of the second stage, at least 1.
        lr: learning rate of the second stage, which falls to zero by a cosine, epoch by epoch; the optimizer's own if
            None.
        power: of the weights $N_b^{-p}$, at least 0; 0 is none, 0.5 SQINV, 1 INV.
        density: gives the weights instead of the power, for example by LDS.
        new_head: whether to start with a new head or with that of the first stage.
        epoch: the epoch of the first stage whose encoder is used: "best" by the monitored validation metric, or "last",
            for a first stage that trains no head and so has no error to compare.
        checkpoint: a checkpoint with a trained encoder, or the folder of an earlier run; there is then no first stage.

    Raises:
        ValueError: less than one epoch, a learning rate that is not positive, a negative power, or another word as
            epoch.
    """

    epochs: int = 10
    lr: float | None = None
    power: float = 0.5
    density: SampleWeights | None = None
    new_head: bool = True
    epoch: str = "best"
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        check_number("rrt.epochs", self.epochs, low=1)
        check_number("rrt.power", self.power, low=0)
        check_choice("rrt.epoch", self.epoch, EPOCHS)
        if self.lr is not None:
            check_number("rrt.lr", self.lr, low=0, open_low=True)

    def second_stage(self, terms: Terms, criterion: nn.Module) -> Terms:
        """The terms of the second stage; its density has yet to be fitted.

        Regularizers are off, as nothing of what they act on can move. The criterion is fitted, but has learnt nothing:
        the second stage has one of its own.
        """
        density = LabelDensity(scheme="power", power=self.power) if self.density is None else self.density
        return replace(
            terms, criterion=criterion, criterion_coefficient=1.0, criterion_density=density, regularizers={}
        )
