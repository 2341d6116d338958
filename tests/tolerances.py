"""One table of tolerances by dtype; a test that needs a looser one says why."""

from typing import TypedDict

import torch


class Tolerance(TypedDict):
    """Arguments of `torch.testing.assert_close`."""

    rtol: float
    atol: float


# float16 and bfloat16 inputs are computed in float32: what remains is the rounding of the inputs themselves.
TOLERANCE: dict[torch.dtype, Tolerance] = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 2e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2e-2, "atol": 2e-2},
    torch.bfloat16: {"rtol": 1e-1, "atol": 1e-1},
}
