"""One table trained by Lightning and by the estimator's loop: the same losses, for every kind of method."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from lightning import Callback, Trainer
from tests.training.toy import trainer
from torch import Tensor, nn

from conr.data import ArrayDataset, RegressionData, Splits
from conr.density import Bins, LabelDensity
from conr.estimators.fitting import Part, Schedule, fit_network
from conr.estimators.network import TableNetwork
from conr.methods import RRT, LabelScale, Regularizer
from conr.methods.objective import build_objective, conr_settings, criterion_kind
from conr.methods.presets import preset_config
from conr.models import LinearHead, TableEncoder
from conr.training import HeadRetraining, RegressionModule

EPOCHS, WIDTH, ROWS = 3, 8, 40
INPUTS = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0)).double()
LABELS = 10 + 5 * INPUTS[:, 0].exp() + INPUTS[:, 1]
BINS = Bins([Bins.by_width(LABELS, width=2.0).edges[0].tolist()], clamp=True)


class Encoder(TableEncoder):
    """The network of tables, with the same weights whenever it is made."""

    def __init__(self) -> None:
        super().__init__(embedding="none", members=2, width=WIDTH, depth=1)

    def fit_inputs(self, inputs: Tensor) -> Self:
        torch.manual_seed(0)
        return super().fit_inputs(inputs)


class Rows(RegressionData):
    """All rows in one batch."""

    name, label_name = "rows", "label"

    def load(self) -> Splits:
        rows = ArrayDataset(INPUTS, LABELS)
        return Splits(rows, rows, rows, BINS)


class Losses(Callback):
    def __init__(self) -> None:
        self.found: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        del pl_module
        self.found.append(float(trainer.callback_metrics["train/loss"]))


def built(spec: dict[str, Any] | None, *arguments: Any) -> Any:
    if spec is None:
        return None
    module, _, name = spec["class_path"].rpartition(".")
    return getattr(import_module(module), name)(*arguments, **spec.get("init_args", {}))


def seeded(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    def made(features: int) -> nn.Module:
        torch.manual_seed(1)
        head = make(features)
        fit = getattr(head, "fit", None)
        if fit is not None:  # which sizes the head

            def seeded_fit(labels: Tensor, bins: Bins) -> None:
                torch.manual_seed(1)
                fit(labels, bins)

            setattr(head, "fit", seeded_fit)  # noqa: B010  mypy: a method
        return head

    return made


def by_lightning(method: str, rrt: RRT | None, folder: Path) -> list[float]:
    model = preset_config(f"table-{method}")["model"]

    def module() -> RegressionModule:
        regularizers = model.get("regularizers", {}).items()
        head = model.get("head")
        torch.manual_seed(2)
        return RegressionModule(
            Encoder(),
            head=seeded(LinearHead if head is None else lambda features: built(head, features)),
            criterion=built(model.get("criterion")),
            criterion_coefficient=model.get("criterion_coefficient", 1.0),
            criterion_density=built(model.get("criterion_density")),
            regularizers={
                name: Regularizer(built(term["loss"]), term["coefficient"], built(term.get("density")))
                for name, term in regularizers
            },
            smoothing=built(model.get("smoothing"), WIDTH),
            view_mode="one",
            optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=0.03, weight_decay=0.01),
            standardise_labels=True,
        )

    def run(epochs: int, *callbacks: Callback) -> Trainer:
        return trainer(epochs, *callbacks, precision="64-true", gradient_clip_val=1.0, limit_val_batches=0)

    losses, data = Losses(), Rows(batch_size=ROWS)
    first = run(EPOCHS, losses)
    torch.manual_seed(3)
    first.fit(module(), datamodule=data)
    if rrt is not None:
        first.save_checkpoint(folder / "first.ckpt")
        second = HeadRetraining(rrt, checkpoint=folder / "first.ckpt", first_epoch=EPOCHS)
        run(EPOCHS + rrt.epochs, second, losses).fit(module(), datamodule=data)
    return losses.found


def by_the_estimator(method: str, rrt: RRT | None) -> list[float]:
    labels = LABELS.unsqueeze(1)
    scale = LabelScale.of(labels)
    settings = conr_settings(labels, BINS, scale, batch_size=ROWS, criterion=criterion_kind(method))
    torch.manual_seed(2)
    objective = build_objective(method, labels, BINS, scale, settings, features=WIDTH, batch_size=ROWS)
    objective = replace(objective, make_head=seeded(objective.make_head), rrt=rrt)
    objective.terms.modules.double()
    network = TableNetwork(Encoder().fit_inputs(INPUTS), objective.make_head(WIDTH)).double()
    schedule = Schedule(
        max_epochs=EPOCHS,
        patience=99,
        batch_size=ROWS,
        learning_rate=0.03,
        weight_decay=0.01,
        monitor="mae",
        seed=0,
    )
    torch.manual_seed(3)
    fitted = fit_network(
        network,
        objective,
        Part(INPUTS, labels, None),
        None,
        bins=BINS,
        density=LabelDensity().fit(LABELS, BINS),
        schedule=schedule,
    )
    assert [one["epoch"] for one in fitted.history] == list(range(1, len(fitted.history) + 1))
    return [one["loss"] for one in fitted.history]


RETRAINING = RRT(epochs=3, lr=0.05, power=0.7)


@pytest.mark.parametrize(
    ("method", "rrt"),
    [
        ("vanilla", None),
        ("sqinv+conr", None),
        ("mse+conr", None),
        ("lds+fds+conr", None),
        ("mse+denseweight+supcon+accon", None),
        ("bmc+conr", None),
        ("gai+ordinal-entropy", None),
        ("bni+rnc", None),
        ("evidential+lds+conr", None),
        ("uvote+conr", None),
        ("hca", None),
        ("dist", None),
        ("focal-r+rnc-pretraining", RRT(epochs=2, power=0.0, epoch="last")),
        ("huber+fds+conr", RETRAINING),
        ("bmc+conr", RETRAINING),
        ("gai", RRT(epochs=2, new_head=False)),
        ("uvote+conr", RETRAINING),
        ("hca", RETRAINING),
    ],
)
def test_lightning_and_the_estimator_find_the_same_losses(method: str, rrt: RRT | None, tmp_path: Path) -> None:
    found = by_the_estimator(method, rrt)
    assert len(set(found)) == len(found) == EPOCHS + (0 if rrt is None else rrt.epochs)
    assert by_lightning(method, rrt, tmp_path) == pytest.approx(found, rel=1e-6, abs=1e-9)
