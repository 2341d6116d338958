import subprocess
import sys

import pytest
from tests.contracts.registry import REGULARIZERS

import conr._extras
from conr.testing import REGULARIZER_CHECKS, regularizer_contract


def test_importing_conr_does_not_load_it() -> None:
    loaded = (
        "import conr, sys; print([name for name in ('conr.testing', 'pytest', 'hypothesis') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_missing_package_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conr._extras, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"conr.testing needs pytest, .*: pip install 'conr\[dev\]'"):
        conr._extras.require("conr.testing", "pytest", "hypothesis")


def test_every_case_meets_every_check_that_it_has_something_for() -> None:
    conr_, angular = REGULARIZERS["conr"], REGULARIZERS["conr-angular"]
    names = [parameter.id for parameter in regularizer_contract({"a": conr_, "b": angular}).args[1]]
    assert names[: len(REGULARIZER_CHECKS)] == [f"a-{name}" for name in REGULARIZER_CHECKS]
    assert len(names) == 2 * len(REGULARIZER_CHECKS) - 1  # labels of two angles are never flat
