"""Presets of criteria and of sample weights: they make what their names say, and no two of a kind can be joined."""

import json
from itertools import combinations

import pytest
from jsonargparse import ArgumentParser

from conr.density import DenseWeight, LabelDensity
from conr.losses import BMC, BNI, GAI, HCA, MSE, UVOTE, VIR, DistLoss, Evidential, FocalR, Huber
from conr.methods.presets import dataset_names, method_names, preset_config
from conr.models import EvidentialHead, HCAHead, LinearHead, UVOTEHead, VIRHead
from conr.training import RegressionModule

CRITERIA = {
    "mse": MSE,
    "huber": Huber,
    "focal-r": FocalR,
    "bmc": BMC,
    "gai": GAI,
    "bni": BNI,
    "dist": DistLoss,
    "evidential": Evidential,
    "hca": HCA,
    "uvote": UVOTE,
    "vir": VIR,
}
DENSITIES = {
    "inv": LabelDensity,
    "inv-clipped": LabelDensity,
    "sqinv": LabelDensity,
    "lds": LabelDensity,
    "effective-number": LabelDensity,
    "denseweight": DenseWeight,
}


def build(name: str) -> RegressionModule:
    parser = ArgumentParser()
    parser.add_class_arguments(RegressionModule, "model")
    module = parser.instantiate(parser.parse_object({"model": preset_config(name)["model"]})).model
    assert isinstance(module, RegressionModule)
    return module


@pytest.mark.parametrize("name", CRITERIA)
def test_criteria(name: str) -> None:
    module = build(f"rotated-digits-{name}")
    assert type(module.criterion) is CRITERIA[name]
    heads = {"evidential": EvidentialHead, "hca": HCAHead, "uvote": UVOTEHead, "vir": VIRHead}
    assert type(module.head) is heads.get(name, LinearHead)


@pytest.mark.parametrize("name", DENSITIES)
def test_densities(name: str) -> None:
    module = build(f"rotated-digits-{name}+bni")
    assert type(module.criterion_density) is DENSITIES[name]
    assert type(module.criterion) is BNI


def test_a_preset_says_what_it_sets() -> None:
    for name in (*CRITERIA, *DENSITIES):
        assert name in method_names("rotated-digits")
        assert json.dumps(preset_config(f"abalone-{name}")) != json.dumps(preset_config("abalone-vanilla"))


@pytest.mark.parametrize(("one", "two"), list(combinations(CRITERIA, 2)))
def test_two_criteria_contradict_each_other(one: str, two: str) -> None:
    for first, second in ((one, two), (two, one)):
        with pytest.raises(ValueError, match=f"'{first}' and '{second}' contradict each other in 'class_path'"):
            preset_config(f"rotated-digits-{first}+sqinv+{second}+conr")


@pytest.mark.parametrize(
    ("one", "two", "where"),
    [
        ("inv", "sqinv", "scheme"),
        ("inv-clipped", "lds", "scheme"),
        ("sqinv", "effective-number", "scheme"),
        ("lds", "denseweight", "class_path"),
    ],
)
def test_two_kinds_of_weights_contradict_each_other(one: str, two: str, where: str) -> None:
    with pytest.raises(ValueError, match=f"'{one}' and '{two}' contradict each other in '{where}'"):
        preset_config(f"rotated-digits-{one}+{two}")


@pytest.mark.parametrize("dataset", dataset_names())
def test_every_dataset_knows_them(dataset: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RegressionModule, "model")
    names = {*CRITERIA, *DENSITIES}.intersection(method_names(dataset))
    assert len(names) >= 3
    for name in names:
        parser.parse_object({"model": preset_config(f"{dataset}-{name}")["model"]})


def test_the_head_of_another_class_is_sized_anew() -> None:
    """The dataset's own head has arguments that the criterion's head does not take."""
    assert preset_config("sts-b-dir-bilstm-vanilla")["model"]["head"]["init_args"]["scale"] == 5
    assert preset_config("sts-b-dir-bilstm-evidential")["model"]["head"] == {"class_path": "conr.models.EvidentialHead"}


def test_scales_follow_the_labels_of_the_dataset() -> None:
    for name in ("bmc", "gai", "bni"):
        assert build(f"rotated-digits-{name}").criterion.noise_scale().item() == pytest.approx(10)  # type: ignore[operator]
        assert build(f"abalone-{name}").criterion.noise_scale().item() == pytest.approx(2)  # type: ignore[operator]
    assert build("rotated-digits-focal-r").criterion.error_scale == 0.2
    assert build("abalone-focal-r").criterion.error_scale == 0.7


def test_methods_of_different_kinds_join() -> None:
    module = build("rotated-digits-evidential+lds+conr")
    assert type(module.criterion) is Evidential
    assert isinstance(module.criterion_density, LabelDensity)
    assert module.criterion_density.scheme == "sqrt_inverse"
    assert list(module.regularizers) == ["conr"]
