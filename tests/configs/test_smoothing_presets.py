"""Presets of FDS: on every dataset without dense labels, alone and joined with weights and ConR."""

import pytest
from tests.configs.test_criterion_presets import build

from conr.configs import DENSE, dataset_names, method_names, preset_config
from conr.smoothing import FDS


@pytest.mark.parametrize("dataset", sorted(set(dataset_names()) - set(DENSE)))
def test_fds_joins_weights_and_conr_on_every_dataset(dataset: str) -> None:
    assert "fds" in method_names(dataset)
    model = preset_config(f"{dataset}-lds+fds+conr")["model"]
    assert list(model["regularizers"]) == ["conr"]
    assert model["criterion_density"]["init_args"]["kernel"] == "gaussian"
    expected = [0.5, 2.0] if dataset.startswith("sts-b-dir") else [0.1, 10.0]
    assert model["smoothing"]["init_args"]["clip"] == expected


@pytest.mark.parametrize("dataset", ["rotated-digits", "abalone", "table"])
def test_the_layer_is_sized_by_the_encoder(dataset: str) -> None:
    module = build(f"{dataset}-fds+conr")
    assert isinstance(module.smoothing, FDS)
    assert module.smoothing.num_features == 128
    assert module.smoothing.bins is None  # until the dataset is known


def test_dense_labels_have_no_fds() -> None:
    for dataset in DENSE:
        assert "fds" not in method_names(dataset)
