"""The kernels compile for a GPU that is not there: Triton brings its own assembler for NVIDIA's."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="Triton has no build for this system")

from tests.versions import is_before
from triton import compile as compile_kernel
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from conr.pairwise import triton_kernels
from conr.pairwise.triton_engine import LEAST_TRITON, Tiles

H100 = GPUTarget("cuda", 90, 32)
SHARED_BYTES = {
    True: 163 * 1024,
    False: 99 * 1024,
}  # that a program may have on an A100 (an H100 gives more); elsewhere
INTEGERS = {"rows", "columns", "spans", "span"}
INTEGER_POINTERS = {"row_order", "column_order", "firsts", "lasts", "near", "counts"}
KEYS = ("labels", "predictions", "window")

pytestmark = [
    pytest.mark.skipif(triton_kernels.INTERPRETED, reason="kernels run on the CPU here"),
    pytest.mark.skipif(is_before("triton", *LEAST_TRITON), reason="needs triton 3.5, as the engine says"),
]


def types(names: list[str], constants: dict[str, Any], features: str, keys: str) -> dict[str, str]:
    """The type of each argument of a kernel, in Triton's words."""
    found = {}
    for name in names:
        if name in constants:
            found[name] = "constexpr"
        elif name in INTEGERS:
            found[name] = "i32"
        elif name in INTEGER_POINTERS:
            found[name] = "*i32"
        elif name.endswith("_features"):
            found[name] = f"*{features}"
        else:
            sums = "fp64" if features == "fp64" else "fp32"
            found[name] = f"*{keys}" if name.endswith(KEYS) else f"*{sums}"
    return found


def compiled(
    d: int, tiles: Tiles, *, backward: bool, features: str = "fp32", keys: str = "fp32", **changes: Any
) -> Any:
    """A kernel for an H100, as a launch with these settings would compile it."""
    kernel = triton_kernels.backward_kernel if backward else triton_kernels.forward_kernel
    constants = {
        "D": d,
        "KEYS": 1,
        "DISTANCE": "l2",
        "PUSH": "exp",
        "POSITIVES": False,
        "OWN": True,
        "LISTED": False,
        "PRECISION": "tf32",
        "BLOCK_ROWS": tiles.rows,
        "BLOCK_COLUMNS": tiles.columns,
        "BLOCK_DEPTH": tiles.depth,
        **({"ROW_ANCHORS": True, "COLUMN_ANCHORS": True, "WIDTH": tiles.width} if backward else {}),
        **changes,
    }
    names = list(kernel.arg_names)
    signature = types(names, constants, features, keys)
    aligned = {(index,): [["tt.divisibility", 16]] for index, name in enumerate(names) if signature[name][0] == "*"}
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()}, aligned)
    return compile_kernel(source, target=H100, options={"num_warps": tiles.warps, "num_stages": tiles.stages})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("backward", "changes"),
    [
        (False, {"LISTED": True, "KEYS": 2, "PUSH": "linear"}),
        (True, {"POSITIVES": True, "OWN": False, "ROW_ANCHORS": False, "features": "bf16", "PRECISION": "ieee"}),
    ],
)
def test_small_kernels_compile(changes: dict[str, Any], *, backward: bool) -> None:
    found = compiled(24, Tiles(16, 16, 16, 32, warps=1, stages=2), backward=backward, **changes)
    assert found.asm["cubin"]


@pytest.mark.slow
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("roomy", [False, True])
@pytest.mark.parametrize(
    ("d", "features", "precision"),
    [*product((128, 512), ("fp32",), ("tf32", "tf32x3")), *product((128, 512), ("bf16",), ("bf16",))],
)
def test_kernels_fit_and_use_the_matrix_units(
    d: int, features: str, precision: str, *, backward: bool, roomy: bool
) -> None:
    tiles = Tiles.fitting(d, precision, "l2", backward=backward, roomy=roomy)
    found = compiled(
        d, tiles, backward=backward, features=features, PRECISION="ieee" if precision == "bf16" else precision
    )
    assert found.metadata.shared <= SHARED_BYTES[roomy]
    assert "wgmma.mma_async" in found.asm["ptx"]


@pytest.mark.slow
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("distance", ["l1", "l2", "linf", "angular"])
def test_every_distance_compiles_in_double_precision(distance: str, *, backward: bool) -> None:
    tiles = Tiles.fitting(100, "ieee", distance, backward=backward, roomy=True)
    changes = {"DISTANCE": distance, "KEYS": 3, "LISTED": True, "PRECISION": "ieee"}
    found = compiled(100, tiles, backward=backward, features="fp64", keys="fp64", **changes)
    assert math.isfinite(found.metadata.shared)
    assert found.asm["cubin"]
