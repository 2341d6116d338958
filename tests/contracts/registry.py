"""The regularizers under contract. A new method adds one line and gets every check of `conr.testing`."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from tests.oracles.accon import accon_per_anchor
from tests.oracles.conr import conr_per_anchor
from tests.oracles.ordinal_entropy import ordinal_entropy
from tests.oracles.rank_n_contrast import rank_n_contrast_per_anchor
from tests.oracles.ranksim import ranksim_per_row
from tests.oracles.srl import srl
from tests.oracles.supcon import supcon_per_anchor

from conr import ConRLoss
from conr.losses import ACConLoss, OrdinalEntropyLoss, RankNContrastLoss, RankSimLoss, SRLLoss, SupConLoss
from conr.testing import RegularizerCase, make_batch

FROM_LABELS = ("features", "labels", "weights")
BAD_TEMPERATURES = (0.0, -1.0, math.nan, "1", None)


def _conr(engine: str = "auto", **settings: Any) -> RegularizerCase:
    dimensions = (1,) if engine == "windowed" else (1, 2, 3)
    complete = {"window": 1.0, "temperature": 0.4, "distance_scale": 0.1, "push": "exp", "distance": "l2"}
    complete |= {"weight_anchors": True} | settings
    return RegularizerCase(
        partial(ConRLoss, engine=engine),
        complete,
        conr_per_anchor,
        label_dimensions=(2,) if complete["distance"] == "angular" else dimensions,
        fullgraph=engine == "auto",  # which blocks the others compute depends on values
        zero_on=("no samples", "one sample", "equal labels", "far labels", "far predictions"),
        stress=({"temperature": 0.01},),
        refused={
            "window": (0.0, "1"),
            "temperature": BAD_TEMPERATURES,
            "distance_scale": (-1.0,),
            "push": ("square",),
            "distance": ("l3",),
        },
    )


def _ranksim(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        RankSimLoss,
        {"interpolation": 2.0, "deduplicate": False, "distance": "l2"} | settings,
        ranksim_per_row,
        used=FROM_LABELS,
        stress=({"interpolation": 1e-4}, {"interpolation": 1e4}),
        refused={"interpolation": (0.0, "2"), "distance": ("l3",)},
        exempt={
            "gradient_equals_finite_differences": "ranks are piecewise constant: their gradient is a black-box one, by "
            "definition another than the derivative, which is 0"
        },
    )


def _ranksim_deduplicate() -> RegularizerCase:
    case = _ranksim(deduplicate=True)
    exempt = {
        "order_of_samples_does_not_matter": "which sample stands for its label is drawn by position",
        "reductions_agree": "the mean is over the samples that take part",
    }
    return replace(case, oracle=None, exempt={**case.exempt, **exempt})


def _rank_n_contrast(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        RankNContrastLoss,
        {"temperature": 2.0, "distance": "l1"} | settings,
        rank_n_contrast_per_anchor,
        used=FROM_LABELS,
        stress=({"temperature": 0.01},),
        refused={"temperature": BAD_TEMPERATURES, "distance": ("l3",)},
    )


def _ordinal_entropy(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        OrdinalEntropyLoss,
        {"diversity": 0.7, "tightness": 1.3, "bin_width": 1.0, "distance": "l2"} | settings,
        ordinal_entropy,
        used=FROM_LABELS,
        per_sample=False,
        refused={"diversity": (-1.0, None), "tightness": (-1.0,), "bin_width": (0.0,), "distance": ("l3",)},
    )


def _accon(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        ACConLoss,
        {"label_range": 6.0, "window": 0.0, "temperature": 0.4, "distance": "l2"} | settings,
        accon_per_anchor,
        used=FROM_LABELS,
        zero_on=("no samples", "one sample", "far labels"),
        stress=({"temperature": 0.01},),
        refused={
            "label_range": (0.0, "60"),
            "window": (-1.0,),
            "temperature": BAD_TEMPERATURES,
            "distance": ("l3",),
        },
    )


def _supcon(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        SupConLoss,
        {"bin_width": 1.0, "temperature": 0.4} | settings,
        supcon_per_anchor,
        used=FROM_LABELS,
        zero_on=("no samples", "one sample", "far labels"),
        stress=({"temperature": 0.01},),
        refused={"bin_width": (0.0, True), "temperature": BAD_TEMPERATURES},
    )


def _srl_after_an_epoch(**settings: Any) -> SRLLoss:
    """Bins up to 9, of which the first epoch saw 3 to 8 and the batches of the contract see 0 to 5."""
    torch.manual_seed(5)
    module = SRLLoss(5, low=0, high=9, bin_width=1, num_points=40, **settings)
    batch = make_batch(5, n=10)
    module(batch.features, batch.labels + 3)
    module.on_train_epoch_end()
    return module


def _srl(**settings: Any) -> RegularizerCase:
    complete = {"envelope": 0.5, "homogeneity": 0.3, "contrast": 1.0, "temperature": 0.4} | settings
    module = _srl_after_an_epoch()
    tables = {name: getattr(module, name).tolist() for name in ("edges", "surrogate", "points")}
    exempt = {
        "gradient_equals_finite_differences": "centroids are constants in the contrast, though they follow the features"
    }
    return RegularizerCase(
        _srl_after_an_epoch,
        complete,
        partial(srl, **tables),
        used=FROM_LABELS,
        per_sample=False,
        label_dimensions=(1,),
        feature_sizes=(5,),
        zero_on=("no samples",),
        stress=({"temperature": 0.01},),
        refused={
            "envelope": (-1.0,),
            "homogeneity": (-1.0,),
            "contrast": (-1.0,),
            "temperature": BAD_TEMPERATURES,
            "momentum": (1.0, -0.1),
        },
        exempt=exempt if complete["contrast"] else {},
    )


REGULARIZERS = {
    "conr": _conr(),
    "conr-windowed": _conr(engine="windowed", push="linear"),
    "accon": _accon(),
    "ordinal-entropy": _ordinal_entropy(),
    "rank-n-contrast": _rank_n_contrast(),
    "ranksim": _ranksim(),
    "srl": _srl(),
    "supcon": _supcon(),
}

# Other computations behind the same arguments.
ENGINES = {"conr-blockwise": _conr(engine="blockwise", distance="l1")}
DRAWN = {"ranksim-deduplicate": _ranksim_deduplicate()}

# A window of 1.0 is hit exactly by integer labels under l1, l2 and linf; the angle between two directions is rounded,
# so that a pair at the window's very edge could fall on either side: 1.0005 is no angle between multiples of 0.25.

# More settings of the same code: their values and gradients.
VARIANTS = {
    "conr-linear": _conr(push="linear"),
    "conr-paper": _conr(weight_anchors=False),
    "conr-l1": _conr(distance="l1"),
    "conr-angular": _conr(distance="angular", window=1.0005),
    "conr-linf": _conr(distance="linf", push="linear"),
    "accon-window": _accon(window=1.0, label_range=3.0, distance="linf"),
    "ordinal-entropy-unrounded": _ordinal_entropy(bin_width=None, distance="l1"),
    "rank-n-contrast-linf": _rank_n_contrast(temperature=0.5, distance="linf"),
    "srl-shape": _srl(contrast=0.0),
    "supcon-wide": _supcon(bin_width=2.5),
}
