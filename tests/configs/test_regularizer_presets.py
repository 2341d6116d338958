from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from conr.density import Bins
from conr.methods import resolve
from conr.methods.presets import dataset_names, method_names, preset_config

METHODS = ("accon", "conr", "ordinal-entropy", "ranksim", "rnc", "srl", "supcon")


def regularizers(config: dict[str, Any]) -> dict[str, nn.Module]:
    made = {}
    for name, term in config["model"]["regularizers"].items():
        module, _, class_name = term["loss"]["class_path"].rpartition(".")
        made[name] = getattr(import_module(module), class_name)(**term["loss"]["init_args"])
    return made


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_a_preset_on_each_dataset_of_whole_numbers(method: str) -> None:
    for dataset in ("rotated-digits", "abalone"):
        assert method in method_names(dataset)
        (name, regularizer), *others = regularizers(preset_config(f"{dataset}-{method}")).items()
        assert not others
        assert name == method.replace("-", "_")
        features = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(8.0) // 2
        resolve(regularizer, labels, Bins([0, 4]), num_features=128)
        assert torch.isfinite(regularizer(features, labels, labels, torch.ones(8)))


def test_the_range_of_accon_is_that_of_the_labels() -> None:
    """0 to 89 degrees, and 1 to 29 rings."""
    for dataset, expected in (("rotated-digits", 89), ("abalone", 28)):
        settings = preset_config(f"{dataset}-accon")["model"]["regularizers"]["accon"]["loss"]["init_args"]
        assert settings["label_range"] == expected


def test_regularizers_compose_with_each_other_and_with_weights() -> None:
    assert "rotated-digits" in dataset_names()
    config = preset_config("rotated-digits-sqinv+conr+ranksim+srl")
    assert list(regularizers(config)) == ["conr", "ranksim", "srl"]
    assert config["model"]["criterion_density"]["init_args"] == {"scheme": "sqrt_inverse"}
