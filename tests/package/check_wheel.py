"""Checks of the built package, run by ``make wheel`` in an environment with the wheel, torch and numpy alone."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

import conr
from conr import ConRLoss, LabelDensity
from conr.density import Bins

ABSENT = ("lightning", "pandas", "pytest", "scipy", "sklearn")
IN_WHEEL = (
    "conr/py.typed",
    "conr/__init__.pyi",
    "conr/configs/methods/conr.yaml",
    "conr/report/templates/report.html.j2",
)


def check(holds: object, what: str) -> None:
    """Stop with what was expected."""
    if not holds:
        sys.exit(f"check_wheel: expected {what}")


def check_contents(dist: Path) -> None:
    """The wheel has the package alone, the source distribution its tests too."""
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    inside = [name for name in names if not name.split("/")[0].endswith(".dist-info")]
    check(all(name.startswith("conr/") for name in inside), f"the package alone in the wheel, got {inside[:3]}")
    missing = [name for name in IN_WHEEL if name not in names]
    check(not missing, f"{missing} in the wheel")
    with tarfile.open(source) as archive:
        files = [name.partition("/")[2] for name in archive.getnames()]
    for part in (
        "src/conr/__init__.py",
        "tests/test_package.py",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CITATION.cff",
    ):
        check(part in files, f"{part} in the source distribution")


def check_installed() -> None:
    """The package comes from the wheel, and its losses and its help need nothing but torch and numpy."""
    check("site-packages" in conr.__file__, f"the installed package, got {conr.__file__}")
    check(conr.__version__ == metadata("conr")["Version"], "one version")
    present = [name for name in ABSENT if find_spec(name)]
    check(not present, f"an environment with torch and numpy alone, found {present}")
    labels = torch.arange(32.0) % 20
    features = torch.randn(32, 8, requires_grad=True)
    density = LabelDensity(Bins.by_width(width=1, low=0, high=20), scheme="sqrt_inverse").fit(labels)
    loss = ConRLoss(window=1.0)(features, labels, labels + torch.randn(32), density.weights(labels))
    loss.backward()
    check(loss > 0 and features.grad is not None, f"a loss with a gradient, got {loss}")
    command = Path(sys.executable).parent / "conr"
    for words, status, text in (
        (["--help"], 0, "usage: conr VERB"),
        (["--version"], 0, f"conr {conr.__version__}"),
        (["presets"], 2, "pip install 'conr[train]'"),
        (["fit", "--config", "rotated-digits-conr"], 2, "pip install 'conr[train]'"),
    ):
        done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
        check(done.returncode == status and text in done.stdout + done.stderr, f"{text!r} of {words}, got {done}")


if __name__ == "__main__":
    check_contents(Path(sys.argv[1]))
    check_installed()
    print(f"conr {conr.__version__}: the wheel works with torch {torch.__version__} and numpy alone")
