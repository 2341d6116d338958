"""The smoothers under contract. A new method adds one line and gets every check of `conr.testing`."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from tests.oracles.fds import fds
from tests.oracles.vir import variational_fds
from torch import nn

from conr.smoothing import FDS, VariationalFDS
from conr.testing import Batch, SmootherCase

REFUSED = {
    "kernel": ("box",),
    "kernel_size": (4,),
    "sigma": (0.0,),
    "momentum": (1.0, -0.1),
    "clip": ((2.0, 1.0),),
    "start_update": (-1,),
    "start_smooth": (0,),
}


def _fds(**settings: Any) -> SmootherCase:
    complete = {"kernel": "triangular", "kernel_size": 3, "momentum": 0.7} | settings
    return SmootherCase(FDS, complete, fds, refused=REFUSED)


def _vir(**settings: Any) -> SmootherCase:
    complete = {"kernel": "triangular", "kernel_size": 3, "momentum": 0.7} | settings

    def seen_by_the_oracle(module: nn.Module, batch: Batch) -> Mapping[str, Any]:
        spread = cast("VariationalFDS", module).spread
        torch.manual_seed(0)  # as the contract does before each call
        noise = torch.randn_like(batch.features)
        return complete | {
            "weight": spread.weight.tolist(),
            "bias": spread.bias.tolist(),
            "noise": noise.tolist(),
        }

    return SmootherCase(
        VariationalFDS,
        complete,
        variational_fds,
        seen_by_the_oracle,
        refused=REFUSED,
        exempt={
            "changes_nothing_before_it_knows": "its noise is that of a variational encoder, and needs no statistics",
            "order_of_samples_does_not_matter": "noise is drawn by position",
        },
    )


SMOOTHERS = {
    "fds": _fds(),
    "fds-reference": _fds(reference=True, fill=False),
    "vir": _vir(),
}

# More settings of the same code: their values and gradients.
VARIANTS = {
    "fds-wide": _fds(kernel="laplace", kernel_size=9, sigma=1.5, clip=(0.5, 2.0), fill=False),
    "fds-late": _fds(momentum=None, start_update=1, start_smooth=2),
    "fds-reference-filled": _fds(reference=True),
    "vir-wide": _vir(kernel="laplace", kernel_size=9, sigma=1.5, clip=(0.5, 2.0), fill=False),
    "vir-late": _vir(momentum=None, start_update=1, start_smooth=2),
}
