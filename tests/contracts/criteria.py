"""The criteria under contract. A new method adds one line and gets every check of `conr.testing`."""

import math
from typing import Any, cast

import torch
from tests.oracles.balanced_mse import bmc_losses, bni_losses, gai_losses
from tests.oracles.dist_loss import dist_losses
from tests.oracles.elementwise import elementwise_losses, focal_r_losses
from tests.oracles.evidential import evidential_losses
from tests.oracles.hca import hca_losses
from tests.oracles.uvote import uvote_losses
from tests.oracles.vir import vir_losses
from torch import nn

from conr.losses import BMC, BNI, GAI, HCA, L1, MSE, UVOTE, VIR, DistLoss, Evidential, FocalR, Huber
from conr.testing import Batch, CriterionCase
from conr.testing.losses import training_labels


def _elementwise(make: type[nn.Module], kind: str, **settings: Any) -> CriterionCase:
    return CriterionCase(
        make,
        settings,
        elementwise_losses,
        lambda _module, _batch: {"kind": kind, **settings},
        zero_on=("no samples", "exact predictions"),
        refused={"delta": (0.0, -1.0)} if settings else {},
    )


def _focal(**settings: Any) -> CriterionCase:
    return CriterionCase(
        FocalR,
        settings,
        focal_r_losses,
        zero_on=("no samples", "exact predictions"),
        refused={
            "kind": ("l2", "huber"),
            "activation": ("sigmoids",),
            "error_scale": (0.0,),
            "focus": (-1.0,),
        },
    )


def _learned(module: nn.Module, *tables: str) -> dict[str, Any]:
    """What an oracle must know of a fitted module, as plain numbers."""
    learned = {name: getattr(module, name).tolist() for name in tables}
    if isinstance(module, BMC | GAI | BNI):
        learned["noise_scale"] = module.noise_scale().item()
    return learned


def _drawn(module: nn.Module, batch: Batch) -> dict[str, Any]:
    torch.manual_seed(0)  # as the contract does before each call
    return _learned(module) | {"drawn": torch.randperm(len(batch.labels))[: module.candidates].tolist()}


def _dist(**settings: Any) -> CriterionCase:
    return CriterionCase(
        DistLoss,
        settings,
        dist_losses,
        lambda module, _batch: _learned(module, "quantiles") | settings,
        refused={"bandwidth": (0,), "coefficient": (-1.0,), "kind": ("l2",), "delta": (0.0,)},
    )


def _uvote(heads: int, progress: float) -> CriterionCase:
    def make(**settings: Any) -> UVOTE:
        criterion = UVOTE(**settings)
        criterion.set_progress(progress)
        return criterion

    return CriterionCase(
        make,
        {"heads": heads, "clip": (3.0, 20.0)},
        uvote_losses,
        lambda module, batch: {
            "head_weights": cast("UVOTE", module).head_weights(batch.labels).tolist(),
            "progress": progress,
        },
        outputs=(heads, 2),
        refused={"heads": (0,), "clip": ((0, 5),)},
    )


def _hca(levels: int, power: float, classes: int) -> CriterionCase:
    labels, bins = training_labels(1)
    counts = torch.bincount(bins.index(labels), minlength=len(bins)).tolist()
    found = {"edges": bins.edges[0].tolist(), "counts": counts, "levels": levels}
    return CriterionCase(
        HCA,
        {"levels": levels, "power": power},
        hca_losses,
        lambda module, _batch: found | _learned(module, "class_weights"),
        outputs=(classes,),
        label_dimensions=(1,),
        refused={"levels": (0,), "power": (-1,)},
        exempt={"fits_equal_labels": "the number of classes, and of predictions, follows from the training labels"},
    )


NOISE = {"noise_scale": (0.0, math.inf, -1.0)}

CRITERIA = {
    "huber": _elementwise(Huber, "huber", delta=0.7),
    "focal-r": _focal(error_scale=0.8),
    "bmc": CriterionCase(
        BMC,
        {"noise_scale": 1.5},
        bmc_losses,
        lambda module, _batch: _learned(module),
        zero_on=("no samples", "one sample"),
        refused={**NOISE, "candidates": (0,)},
    ),
    "gai": CriterionCase(
        GAI,
        {"noise_scale": 0.8, "components": 3},
        gai_losses,
        lambda module, _batch: _learned(module, "masses", "means", "covariances"),
        refused={**NOISE, "components": (0,)},
    ),
    "bni": CriterionCase(
        BNI,
        {"noise_scale": 0.8, "learn_noise_scale": False},
        bni_losses,
        lambda module, _batch: _learned(module, "masses", "centers"),
        refused=NOISE,
    ),
    "dist": _dist(coefficient=0.7),
    "evidential": CriterionCase(
        Evidential, {"coefficient": 0.05}, evidential_losses, outputs=(4,), refused={"coefficient": (-1,)}
    ),
    "hca": _hca(levels=2, power=1.0, classes=2 + 4 + 6),
    "uvote": _uvote(heads=2, progress=1.0),
    "vir": CriterionCase(
        VIR,
        {"coefficient": 0.05, "prior_evidence": 0.1, "prior_concentration": 0.3},
        vir_losses,
        outputs=(3,),
        refused={"coefficient": (-1,), "prior_evidence": (-1,), "prior_concentration": (0,)},
        exempt={"weights_multiply": "weights multiply the pseudo-counts, and not the loss"},
    ),
}

# More settings of the same code: their values and gradients.
VARIANTS = {
    "l1": _elementwise(L1, "l1"),
    "mse": _elementwise(MSE, "mse"),
    "bmc-drawn": CriterionCase(BMC, {"noise_scale": 1.5, "candidates": 5}, bmc_losses, _drawn),
    "focal-r-mse": _focal(kind="mse", activation="tanh", error_scale=0.5),
    "focal-r-flat": _focal(error_scale=0.5, focus=0.5),
    "dist-huber": _dist(kind="huber", delta=0.4),
    "hca-deep": _hca(levels=4, power=0.5, classes=2 + 4 + 6 + 6 + 6),
    "uvote-early": _uvote(heads=3, progress=0.5),
}
