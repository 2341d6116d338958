import subprocess
import sys

import pytest

import conr
from conr._extras import require

PUBLIC = {"Bins", "ConRLoss", "ConRRegressor", "LabelDensity", "conr_loss", "conr_statistics"}

PROBE = """
import sys
import numpy, torch
before = set(sys.modules)
import conr
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(" ".join(sorted(loaded)))
"""


def test_import_loads_nothing_but_torch_and_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["conr"]


def test_no_public_name_vanishes_unnoticed() -> None:
    assert set(conr.__all__) == PUBLIC
    assert all(hasattr(conr, name) for name in PUBLIC)


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
