"""A regularizer added from outside gives the numbers of one written into the training step, and leaves nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer, seed_everything
from tests.training.toy import trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from conr import Bins, ConRLoss, LabelDensity
from conr.losses import SRLLoss
from conr.training import AddRegularizers, Regularizer

INPUTS = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
LABELS = (4 * torch.rand(32, generator=torch.Generator().manual_seed(1)) ** 2).floor()
DENSITY = LabelDensity(Bins([0, 1, 2, 3, 4]), scheme="sqrt_inverse").fit(LABELS)
CONR = ConRLoss(window=0.5, temperature=0.2)


class Plain(LightningModule):
    """What a user has: nothing in it knows of features or regularizers."""

    def __init__(self, wrap: Callable[[Tensor], Any] = lambda loss: loss) -> None:
        super().__init__()
        seed_everything(0, verbose=False)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Tanh())
        self.top = nn.ModuleDict({"fc": nn.Linear(8, 1)})
        self.wrap = wrap

    def forward(self, inputs: Tensor) -> Tensor:
        predictions: Tensor = self.top["fc"](self.body(inputs))
        return predictions

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Any:
        inputs, labels = batch
        return self.wrap((self(inputs).squeeze(1) - labels).abs().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def weight(module: LightningModule) -> Tensor:
    return module.get_parameter("body.0.weight")


def batches(size: int = 8) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=size)


def fit(
    module: LightningModule,
    *callbacks: AddRegularizers,
    epochs: int = 1,
    ckpt_path: Path | None = None,
    **settings: Any,
) -> Trainer:
    run = trainer(epochs, *callbacks, **settings)
    run.fit(module, batches(), ckpt_path=ckpt_path)
    return run


def by_hand(view: Callable[[Tensor], Tensor] | None = None) -> Plain:
    """The same training as a loop that has the term in it."""
    module = Plain()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for inputs, labels in batches():
        features = module.body(inputs)
        predictions = module.top["fc"](features).squeeze(1)
        loss = (predictions - labels).abs().mean()
        if view is not None:
            other = module.body(view(inputs))
            features = torch.cat((features, other))
            predictions = torch.cat((predictions, module.top["fc"](other).squeeze(1)))
        targets = labels.repeat(len(features) // len(labels))
        loss = loss + 3.0 * CONR(features, targets, predictions, DENSITY.weights(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module


def added(**settings: Any) -> AddRegularizers:
    return AddRegularizers({"conr": Regularizer(CONR, coefficient=3.0, density=DENSITY)}, head="top.fc", **settings)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    for name, parameter in first.named_parameters():
        torch.testing.assert_close(parameter, second.get_parameter(name), msg=name)


@pytest.mark.parametrize("wrap", [lambda loss: loss, lambda loss: {"loss": loss, "more": 1}], ids=["tensor", "mapping"])
def test_the_numbers_are_those_of_a_loop_with_the_term_in_it(wrap: Callable[[Tensor], Any]) -> None:
    module = Plain(wrap)
    run = fit(module, added())
    assert_same(module, by_hand())
    assert run.callback_metrics["train/conr"] > 0
    without = Plain()
    fit(without)
    assert not torch.equal(weight(module), weight(without))


def test_views_give_every_sample_a_partner() -> None:
    class Half(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return 0.5 * inputs

    module = Plain()
    fit(module, added(views=Half()))
    assert_same(module, by_hand(lambda inputs: 0.5 * inputs))


def test_a_step_that_stacks_views_gets_its_labels_repeated() -> None:
    class Stacks(Plain):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            inputs, labels = batch
            predictions = self(torch.cat((inputs, 0.5 * inputs))).squeeze(1)
            loss: Tensor = (predictions[: len(labels)] - labels).abs().mean()
            return loss

    module = Stacks()
    fit(module, added())
    assert_same(module, by_hand(lambda inputs: 0.5 * inputs))


def test_nothing_is_left_in_the_module() -> None:
    module = Plain()
    fit(module, added())
    assert "training_step" not in vars(module)
    assert not module.top["fc"]._forward_hooks
    assert module.training_step.__func__ is Plain.training_step  # type: ignore[attr-defined]


def test_nothing_is_left_after_an_error() -> None:
    def fails(loss: Tensor) -> Any:
        raise ArithmeticError(f"no loss of {loss.shape}")

    module = Plain(fails)
    with pytest.raises(ArithmeticError):
        fit(module, added())
    assert "training_step" not in vars(module)
    assert not module.top["fc"]._forward_hooks


@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
def test_a_skipped_batch_stays_skipped() -> None:
    module = Plain(lambda _: None)
    before = weight(module).clone()
    fit(module, added())
    assert torch.equal(weight(module), before)


def test_calls_without_gradient_do_not_count() -> None:
    class Looks(Plain):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Any:
            with torch.no_grad():
                self(100 * batch[0])
            return super().training_step(batch, batch_idx)

    module = Looks()
    fit(module, added())
    assert_same(module, by_hand())


def test_labels_come_from_a_dictionary_or_a_function() -> None:
    class Named(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step((batch["x"], batch["labels"]), batch_idx)

    for callback in (added(), added(labels=lambda batch: batch["labels"])):
        module = Named()
        pairs = [{"x": x, "labels": y} for x, y in zip(INPUTS, LABELS, strict=True)]
        trainer(1, callback).fit(module, DataLoader(pairs, batch_size=8))  # type: ignore[arg-type]
        assert_same(module, by_hand())


def test_state_goes_into_the_checkpoint_and_comes_back(tmp_path: Path) -> None:
    def srl() -> AddRegularizers:
        seed_everything(1, verbose=False)
        loss = SRLLoss(8, low=0, high=4, bin_width=1, num_points=5)
        return AddRegularizers({"srl": Regularizer(loss, coefficient=0.5)}, head="top.fc")

    whole, module = srl(), Plain()
    fit(module, whole, epochs=2)
    first = Plain()
    fit(first, srl()).save_checkpoint(tmp_path / "one.ckpt")
    second, rest = Plain(), srl()
    fit(second, rest, epochs=2, ckpt_path=tmp_path / "one.ckpt")
    assert_same(module, second)
    surrogate = whole.losses.get_buffer("srl.surrogate")
    assert surrogate.any()
    torch.testing.assert_close(rest.losses.get_buffer("srl.surrogate"), surrogate)


def test_errors_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="regularizers: expected at least one, got none"):
        AddRegularizers({}, head="top.fc")
    learns = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"none with parameters of its own to train, got mine\.weight"):
        AddRegularizers({"mine": Regularizer(learns)}, head="top.fc")
    conr = {"conr": Regularizer(CONR)}
    with pytest.raises(ValueError, match=r"head: expected one of .*got 'top\.fd'; did you mean 'top\.fc'"):
        fit(Plain(), AddRegularizers(conr, head="top.fd"))
    with pytest.raises(ValueError, match="head: expected 'top' to be called with features in training_step, it was"):
        fit(Plain(), AddRegularizers(conr, head="top"))
    with pytest.raises(ValueError, match="head: expected rows for 5 labels, once or several times over, got 8"):
        fit(Plain(), AddRegularizers(conr, head="top.fc", labels=lambda batch: batch[1][:5]))
    unfitted = Regularizer(CONR, density=LabelDensity(Bins([0, 4])))
    with pytest.raises(RuntimeError, match=r"call fit\(labels\) first"):
        fit(Plain(), AddRegularizers({"conr": unfitted}, head="top.fc"))


def test_other_batches_and_manual_optimization_are_refused() -> None:
    class Alone(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch).square().mean()

    for given, message in (
        (added(), r"batch: expected \(inputs, labels\) or a dictionary with 'labels', got Tensor"),
        (added(labels=lambda _: LABELS[:8], views=nn.Identity()), r"views: expected a batch \(inputs, labels\)"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer(1, given).fit(Alone(), DataLoader(INPUTS, batch_size=8))  # type: ignore[arg-type]
    module = Plain()
    module.automatic_optimization = False
    with pytest.raises(ValueError, match="automatic_optimization: expected a training_step that returns the loss"):
        fit(module, added())
