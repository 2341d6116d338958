"""Presets of FDS and VIR: on every dataset without dense labels, alone and joined with weights and ConR."""

import pytest
from tests.configs.test_criterion_presets import build

from conr.losses import VIR
from conr.methods.presets import dataset_names, method_names, preset_config, preset_names
from conr.smoothing import FDS, VariationalFDS


@pytest.mark.parametrize("dataset", sorted(set(dataset_names()) - {"nyud2-dir"}))
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


def test_dense_labels_have_neither() -> None:
    assert not {"fds", "vir"} & set(method_names("nyud2-dir"))


@pytest.mark.parametrize("dataset", sorted(set(dataset_names()) - {"nyud2-dir", "sts-b-dir-bilstm"}))
def test_vir_joins_conr_on_every_dataset(dataset: str) -> None:
    assert "vir" in method_names(dataset)
    model = preset_config(f"{dataset}-vir+conr")["model"]
    assert list(model["regularizers"]) == ["conr"]
    assert model["criterion_density"]["init_args"] == {
        "scheme": "sqrt_inverse",
        "kernel": "gaussian",
        "kernel_size": 5,
        "sigma": 2.0,
    }
    assert model["head"] == {"class_path": "conr.models.VIRHead"}
    with pytest.raises(ValueError, match="'fds' and 'vir' contradict each other in 'class_path'"):
        preset_config(f"{dataset}-fds+vir")


def test_the_parts_of_vir_know_each_other() -> None:
    module = build("rotated-digits-vir+conr")
    assert isinstance(module.smoothing, VariationalFDS)
    assert module.smoothing.num_features == 128
    assert isinstance(module.criterion, VIR)
    assert module.criterion_density is not None


@pytest.mark.parametrize(
    ("dataset", "method"), [("mpiigaze-dir", "hca"), ("mpiigaze-dir", "srl"), ("sts-b-dir-bilstm", "vir")]
)
def test_what_a_method_cannot_do_is_not_offered(dataset: str, method: str) -> None:
    assert method in method_names("rotated-digits")
    assert method not in method_names(dataset)
    assert f"{dataset}-{method}" not in preset_names()
    for name in (method, f"{method}+conr"):
        with pytest.raises(ValueError, match=f"expected a method of .* on {dataset}, got '{method}'"):
            preset_config(f"{dataset}-{name}")
