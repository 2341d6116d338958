"""The package as a whole: what is public, names that load when they are used, and missing extras."""

import pickle
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import conr
from conr._extras import require

RARE = {"BinnedKFold", "RareIntervals", "Rebalanced", "Reweighted", "rare_scorer", "train_test_split_binned"}
PUBLIC = RARE | {"Bins", "ConRLoss", "ConRRegressor", "LabelDensity", "RareRegressor", "conr_loss", "conr_statistics"}
LAZY = sorted(path.parent.name for path in Path(conr.__file__).parent.glob("*/__init__.pyi"))


def test_no_public_name_vanishes_unnoticed() -> None:
    assert set(conr.__all__) == set(dir(conr)) == PUBLIC
    assert all(hasattr(conr, name) for name in PUBLIC)


@pytest.mark.parametrize("name", LAZY)
def test_a_lazy_package_has_every_name_of_its_stub(name: str) -> None:
    package = import_module(f"conr.{name}")
    found: dict[str, object] = {}
    exec(f"from conr.{name} import *", found)  # noqa: S102
    assert set(package.__all__) == set(dir(package)) == found.keys() - {"__builtins__"}
    submodules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert not submodules & found.keys()  # a module would take the name's place when it is imported
    with pytest.raises(AttributeError, match=f"module 'conr.{name}' has no attribute 'nothing'"):
        _ = package.nothing


def test_classes_of_lazy_packages_are_pickled_by_their_module() -> None:
    copy = pickle.loads(pickle.dumps(conr.Bins([0, 1, 2])))  # noqa: S301
    assert type(copy) is conr.Bins


@pytest.mark.parametrize(
    ("package", "extra"), [("lightning", "train"), ("mlxtend", "data"), ("pyarrow", "parquet"), ("timm", "vision")]
)
def test_a_missing_package_is_answered_with_its_extra(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(
        ImportError, match=rf"conr.x needs {package}, not installed here: pip install 'conr\[{extra}\]'"
    ):
        require("conr.x", package)


def test_a_name_that_needs_missing_packages_says_all_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}", name=name)

    monkeypatch.setattr("conr._lazy.import_module", missing)
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    name = "lightning.pytorch"
    load = import_module("conr.estimators").__getattr__
    with pytest.raises(ImportError, match=r"conr.estimators.write_run needs .*: pip install 'conr\[tabular,train\]'"):
        load("write_run")
    name = "of_another"
    with pytest.raises(ModuleNotFoundError, match="No module named of_another"):
        load("write_run")
