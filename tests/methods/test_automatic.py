"""Numbers that are "auto" follow from the training labels, wherever they stand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.training.test_add_regularizers import LABELS, Plain, fit
from tests.training.test_command import fit as fit_run
from tests.training.toy import Toy
from torch import nn

from conr import Bins, ConRLoss
from conr.density import suggest_settings
from conr.density.suggestions import automatic_settings
from conr.losses import (
    BMC,
    BNI,
    GAI,
    MSE,
    ACConLoss,
    CrossBatchMemory,
    DenseConR,
    FocalR,
    Huber,
    OrdinalEntropyLoss,
    SRLLoss,
    SupConLoss,
)
from conr.methods import LabelScale, Regularizer, Terms, resolve
from conr.runs.folder import CONFIG
from conr.training import AddRegularizers
from conr.training.command import run_command

AGES = torch.arange(1.0, 101.0).repeat(5)
YEARS = Bins.by_width(width=1, low=1, high=101)

PARTS: list[tuple[Callable[..., nn.Module], dict[str, float]]] = [
    (ConRLoss, {"window": 1.0, "temperature": 0.1, "distance_scale": 0.01}),
    (DenseConR, {"window": 1.0, "temperature": 0.1, "distance_scale": 0.01}),
    (ACConLoss, {"label_range": 99.0}),
    (SupConLoss, {"bin_width": 1.0}),
    (OrdinalEntropyLoss, {"bin_width": 1.0}),
    (FocalR, {"error_scale": 0.14}),
    (Huber, {"delta": 14.0}),
    (BMC, {"noise_scale": 14.0}),
    (GAI, {"noise_scale": 14.0}),
    (BNI, {"noise_scale": 14.0}),
    (SRLLoss, {"num_features": 4, "low": 1.0, "high": 100.0, "bin_width": 1.0}),
]


def called(part: nn.Module) -> torch.Tensor:
    """The value on a batch of four, with a seed for those that draw."""
    torch.manual_seed(0)
    features, labels = torch.randn(4, 4), torch.tensor([3.0, 3.0, 50.0, 90.0])
    predictions = labels + torch.tensor([1.0, 2.0, -46.0, 20.0])
    if isinstance(part, DenseConR):
        maps = [values.view(2, -1, 1, 2) for values in (features, labels, predictions)]
        return part(*maps)  # type: ignore[no-any-return]
    if isinstance(part, BMC | GAI | BNI | FocalR | Huber):
        return part(predictions, labels)  # type: ignore[no-any-return]
    return part(features, labels, predictions)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("kind", "numbers"), PARTS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_resolved_part_is_one_that_was_made_with_the_numbers(
    kind: Callable[..., nn.Module], numbers: dict[str, float]
) -> None:
    made: list[nn.Module] = []
    for settings in (numbers, dict.fromkeys(numbers, "auto")):
        torch.manual_seed(0)
        part = kind(**settings)
        if isinstance(part, GAI | BNI):
            part.fit(AGES, YEARS)
        if settings is not numbers:
            with pytest.raises(ValueError, match=r"expected a number, got 'auto'; .* conr\.methods\.resolve\(module"):
                called(part)
            torch.manual_seed(0)
            found = resolve(part, AGES, YEARS, num_features=4)
            assert found == pytest.approx(numbers)
            assert resolve(part, AGES, YEARS) == {}
        made.append(part)
    if kind is SRLLoss:
        for part in made:
            called(part)
            part.on_train_epoch_end()  # type: ignore[operator]
    torch.testing.assert_close(called(made[1]), called(made[0]))
    assert repr(made[1]) == repr(made[0])


def test_a_part_within_another_is_found() -> None:
    memory = CrossBatchMemory(ConRLoss(window="auto"), size=4)
    assert resolve(memory, AGES, YEARS) == {"regularizer.window": 1.0}
    assert memory.regularizer.window == 1.0


def test_the_rule_is_the_suggestion_s_and_scales_with_the_labels() -> None:
    one = automatic_settings(AGES, YEARS)
    assert suggest_settings(AGES, YEARS)._asdict().items() <= one.items()
    two = automatic_settings(10 * AGES, Bins([(10 * YEARS.edges[0]).tolist()]))
    powers = {"window": 1, "noise_scale": 1, "label_range": 1, "error_scale": -1, "distance_scale": -1}
    for name, power in powers.items():
        assert two[name] == pytest.approx(one[name] * 10**power), name


def test_terms_put_numbers_in_the_unit_of_the_head_and_name_them() -> None:
    terms = Terms(
        criterion=MSE(),
        regularizers={"near": Regularizer(ConRLoss(window="auto"), coefficient="auto")},
        scale=LabelScale.of(AGES),
    )
    found = terms.fit(AGES, YEARS, batch_size=32)
    targets, bins = terms.scaled(AGES, YEARS)
    expected = suggest_settings(targets, bins, criterion="mse", batch_size=32)
    assert found == {"near.window": expected.window, "near.coefficient": expected.coefficient}
    assert terms.regularizers["near"].coefficient == expected.coefficient
    assert not terms.waits


AUTOMATIC = """
criterion: {class_path: conr.losses.BMC, init_args: {noise_scale: auto}}
collapse_window: auto
regularizers:
  conr:
    loss: {class_path: conr.ConRLoss, init_args: {window: auto, distance_scale: auto, engine: auto}}
    coefficient: auto
  srl:
    loss:
      class_path: conr.losses.SRLLoss
      init_args: {num_features: auto, low: auto, high: auto, bin_width: auto}
"""


def test_a_run_keeps_the_numbers_that_it_trained_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fit_run(tmp_path, "--trainer.max_epochs=1", f"--model={yaml.safe_load(AUTOMATIC)}")
    data = Toy()
    expected = automatic_settings(data.splits.train.labels, data.splits.bins, batch_size=12)
    text = (run / CONFIG).read_text()
    model = yaml.safe_load(text)["model"]
    regularizers = model["regularizers"]
    conr, srl = (regularizers[name]["loss"]["init_args"] for name in ("conr", "srl"))
    assert model["criterion"]["init_args"]["noise_scale"] == pytest.approx(expected["noise_scale"])
    assert (conr["window"], conr["distance_scale"]) == (expected["window"], expected["distance_scale"])
    assert (conr["engine"], conr["gather"]) == ("auto", "auto")
    assert regularizers["conr"]["coefficient"] == expected["coefficient"]
    assert (srl["num_features"], srl["low"], srl["high"], srl["bin_width"]) == (8, 0, expected["high"], 1)
    assert model["collapse_window"] == expected["window"]
    assert f"auto: conr.window is {expected['window']:g}" in capsys.readouterr().out
    (logged,) = run.glob("csv/version_0/hparams.yaml")
    assert yaml.safe_load(logged.read_text())["conr.coefficient"] == expected["coefficient"]
    assert run_command(["fit", "--resume", str(run), "--trainer.max_epochs=2"]) == run
    assert (run / CONFIG).read_text() == text
    assert run_command(["test", "--run", str(run)]) == run


def test_another_word_is_refused(tmp_path: Path) -> None:
    loss = "{class_path: conr.ConRLoss, init_args: {window: never}}"
    with pytest.raises(ValueError, match=r"^--model\.regularizers.*window"):
        fit_run(tmp_path, f"--model.regularizers={{conr: {{loss: {loss}}}}}")


def automatic_regularizers() -> AddRegularizers:
    conr = ConRLoss(window="auto", distance_scale="auto")
    srl = SRLLoss("auto", low="auto", high="auto", bin_width="auto", num_points=5)
    terms: dict[str, Any] = {"conr": Regularizer(conr, coefficient="auto"), "srl": Regularizer(srl)}
    return AddRegularizers(terms, head="top.fc")


def test_regularizers_from_outside_take_the_labels_of_the_training_batches(tmp_path: Path) -> None:
    callback, module = automatic_regularizers(), Plain()
    trainer = fit(module, callback, epochs=2)
    settings = suggest_settings(LABELS, Bins.by_width(LABELS, width=1), batch_size=8)
    found = callback.resolved
    assert (found["conr.window"], found["conr.coefficient"]) == (settings.window, settings.coefficient)
    assert (found["srl.num_features"], found["srl.high"]) == (8, float(LABELS.max()))
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    resumed, whole = automatic_regularizers(), automatic_regularizers()
    fit(Plain(), resumed, epochs=3, ckpt_path=tmp_path / "two.ckpt")
    fit(Plain(), whole, epochs=3)
    assert resumed.resolved == found
    for name in ("srl.surrogate", "srl.edges"):
        torch.testing.assert_close(resumed.losses.get_buffer(name), whole.losses.get_buffer(name))
