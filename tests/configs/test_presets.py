"""Presets make the parts that their names say, on every dataset; methods that contradict each other are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

import conr
from conr import Bins, ConRLoss, LabelDensity
from conr.density import DenseWeight
from conr.losses import (
    BMC,
    BNI,
    GAI,
    HCA,
    MSE,
    UVOTE,
    VIR,
    ACConLoss,
    DistLoss,
    Evidential,
    FocalR,
    Huber,
    OrdinalEntropyLoss,
    RankNContrastLoss,
    RankSimLoss,
    SRLLoss,
    SupConLoss,
)
from conr.methods import resolve
from conr.methods.presets import VANILLA, dataset_names, method_names, preset_config, preset_names
from conr.models import EvidentialHead, HCAHead, LinearHead, UVOTEHead, VIRHead
from conr.smoothing import FDS, VariationalFDS
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
HEADS = {"evidential": EvidentialHead, "hca": HCAHead, "uvote": UVOTEHead, "vir": VIRHead}
DENSITIES = {
    "inv": LabelDensity,
    "inv-clipped": LabelDensity,
    "sqinv": LabelDensity,
    "lds": LabelDensity,
    "effective-number": LabelDensity,
    "denseweight": DenseWeight,
    "vir": LabelDensity,
}
SMOOTHING = {"fds": FDS, "vir": VariationalFDS}
REGULARIZERS = {
    "accon": ACConLoss,
    "conr": ConRLoss,
    "ordinal-entropy": OrdinalEntropyLoss,
    "ranksim": RankSimLoss,
    "rnc": RankNContrastLoss,
    "rnc-pretraining": RankNContrastLoss,
    "srl": SRLLoss,
    "supcon": SupConLoss,
}
SCHEDULES = {"rrt", "rnc-pretraining", "balanced-sampling"}


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(RegressionModule, "model")
    return parser


def build(parser: ArgumentParser, name: str) -> RegressionModule:
    module = parser.instantiate(parser.parse_object({"model": preset_config(name)["model"]})).model
    assert isinstance(module, RegressionModule)
    return module


def test_a_preset_makes_what_it_says(parser: ArgumentParser) -> None:
    known = {VANILLA, *CRITERIA, *DENSITIES, *SMOOTHING, *REGULARIZERS, *SCHEDULES}
    assert known == set(method_names("rotated-digits"))
    for name in known:
        module = build(parser, f"rotated-digits-{name}")
        assert type(module.criterion).__name__ == getattr(CRITERIA.get(name), "__name__", "L1")
        assert type(module.head) is HEADS.get(name, LinearHead)
        assert type(module.criterion_density) is DENSITIES.get(name, type(None))
        assert type(module.smoothing) is SMOOTHING.get(name, type(None))
        if name in REGULARIZERS:
            ((key, term),) = module.regularizers.items()
            assert key == name.removesuffix("-pretraining").replace("-", "_")
            assert type(term.loss) is REGULARIZERS[name]
            features = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
            labels = torch.arange(8.0) // 2
            resolve(term.loss, labels, Bins([0, 4]), num_features=128)
            assert torch.isfinite(term.loss(features, labels, labels, torch.ones(8)))


@pytest.mark.parametrize("dataset", dataset_names())
def test_presets_of_every_dataset_can_be_built(dataset: str, parser: ArgumentParser) -> None:
    known = method_names(dataset)
    for mix in (
        [VANILLA],
        ["bmc", "inv", "fds", "conr", "accon", "ordinal-entropy", "ranksim", "rnc", "srl", "supcon"],
        ["focal-r", "lds", "conr-pixel"],
        ["gai", "sqinv"],
        ["bni"],
        ["huber"],
    ):
        name = "+".join(method for method in mix if method in known)
        if name:
            parser.parse_object({"model": preset_config(f"{dataset}-{name}")["model"]})


def test_methods_of_different_kinds_join(parser: ArgumentParser) -> None:
    module = build(parser, "rotated-digits-evidential+sqinv+conr+ranksim+srl")
    assert list(module.regularizers) == ["conr", "ranksim", "srl"]
    assert isinstance(module.criterion, Evidential)
    assert isinstance(module.criterion_density, LabelDensity)
    smoothed = build(parser, "table-lds+fds+conr").smoothing
    assert isinstance(smoothed, FDS)
    assert smoothed.bins is None  # until the dataset is known


@pytest.mark.parametrize(
    ("one", "two", "where"),
    [
        ("bmc", "hca", "class_path"),
        ("evidential", "uvote", "class_path"),
        ("fds", "vir", "class_path"),
        ("lds", "denseweight", "class_path"),
        ("inv", "sqinv", "scheme"),
        ("inv-clipped", "lds", "scheme"),
        ("sqinv", "effective-number", "scheme"),
        ("rrt", "rnc-pretraining", "power"),
    ],
)
def test_methods_of_one_kind_contradict_each_other(one: str, two: str, where: str) -> None:
    for first, second in ((one, two), (two, one)):
        with pytest.raises(ValueError, match=f"'{first}' and '{second}' contradict each other in '{where}'"):
            preset_config(f"rotated-digits-{first}+ranksim+{second}+conr")


def test_a_method_counts_once() -> None:
    with pytest.raises(ValueError, match=r"preset 'abalone-conr\+conr': expected each method once, got 'conr' twice"):
        preset_config("abalone-conr+conr")
    with pytest.raises(ValueError, match=r"preset 'abalone-vanilla\+conr': expected 'vanilla' alone"):
        preset_config("abalone-vanilla+conr")


@pytest.mark.parametrize(
    ("dataset", "method"),
    [("mpiigaze-dir", "hca"), ("mpiigaze-dir", "srl"), ("sts-b-dir-bilstm", "vir"), ("nyud2-dir", "fds")],
)
def test_a_method_that_cannot_work_is_not_offered(dataset: str, method: str) -> None:
    assert method in method_names("rotated-digits")
    assert f"{dataset}-{method}" not in preset_names()
    for name in (method, f"{method}+conr"):
        with pytest.raises(ValueError, match=f"expected a method of .* on {dataset}, got '{method}'"):
            preset_config(f"{dataset}-{name}")


def test_the_settings_of_a_mix_hold_whatever_its_order() -> None:
    mix, other, parts = (preset_config(f"sts-b-dir-{name}")["model"] for name in ("lds+conr", "conr+lds", "conr"))
    assert mix == other
    loss, alone = (config["regularizers"]["conr"]["loss"]["init_args"] for config in (mix, parts))
    assert (loss["window"], alone["window"]) == (1.0, 0.5)


def test_no_two_files_say_the_same() -> None:
    """Nor does a dataset repeat what a method's file says, or leave a unit without use."""
    folder = Path(conr.__file__).parent / "configs"
    files: dict[Path, dict[str, Any]] = {path: yaml.safe_load(path.read_text()) for path in folder.glob("*/*.yaml")}
    contents = [str(content) for content in files.values()]
    assert len(set(contents)) == len(contents)
    methods = {path.stem: content for path, content in files.items() if path.parent.name == "methods"}
    used = set("".join(path.read_text() for path in files).replace("\n", " ").split())
    for path, content in files.items():
        assert all(f"${unit}" in used for unit in content.get("units", {}))
        assert all(own != methods.get(name, {}) for name, own in content.get("methods", {}).items()), path
