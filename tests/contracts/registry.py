"""The regularizers under contract. A new method adds one line and gets every check of `conr.testing`."""

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
    )


def _ranksim(**settings: Any) -> RegularizerCase:
    return RegularizerCase(
        RankSimLoss,
        {"interpolation": 2.0, "deduplicate": False, "distance": "l2"} | settings,
        ranksim_per_row,
        stress=({"interpolation": 1e-4}, {"interpolation": 1e4}),
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


def _rank_n_contrast() -> RegularizerCase:
    return RegularizerCase(
        RankNContrastLoss,
        {"temperature": 2.0, "distance": "l1"},
        rank_n_contrast_per_anchor,
        stress=({"temperature": 0.01},),
    )


def _ordinal_entropy() -> RegularizerCase:
    return RegularizerCase(
        OrdinalEntropyLoss,
        {"diversity": 0.7, "tightness": 1.3, "bin_width": 1.0, "distance": "l2"},
        ordinal_entropy,
        per_sample=False,
    )


def _accon() -> RegularizerCase:
    return RegularizerCase(
        ACConLoss,
        {"label_range": 6.0, "window": 0.0, "temperature": 0.4, "distance": "l2"},
        accon_per_anchor,
        zero_on=("no samples", "one sample", "far labels"),
        stress=({"temperature": 0.01},),
    )


def _supcon() -> RegularizerCase:
    return RegularizerCase(
        SupConLoss,
        {"bin_width": 1.0, "temperature": 0.4},
        supcon_per_anchor,
        zero_on=("no samples", "one sample", "far labels"),
        stress=({"temperature": 0.01},),
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
        per_sample=False,
        label_dimensions=(1,),
        feature_sizes=(5,),
        zero_on=("no samples",),
        stress=({"temperature": 0.01},),
        exempt=exempt if complete["contrast"] else {},
    )


# A window of 1.0 is hit exactly by integer labels under l1, l2 and linf; the angle between two directions is rounded,
# so that a pair at the window's very edge could fall on either side: 1.0005 is no angle between multiples of 0.25.
REGULARIZERS = {
    "conr": _conr(),
    "conr-linear": _conr(push="linear"),
    "conr-paper": _conr(weight_anchors=False),
    "conr-l1": _conr(distance="l1"),
    "conr-linf": _conr(distance="linf", push="linear"),
    "conr-angular": _conr(distance="angular", window=1.0005),
    "conr-blockwise": _conr(engine="blockwise", distance="l1"),
    "conr-windowed": _conr(engine="windowed", push="linear"),
    "accon": _accon(),
    "ordinal-entropy": _ordinal_entropy(),
    "rank-n-contrast": _rank_n_contrast(),
    "ranksim": _ranksim(),
    "ranksim-deduplicate": _ranksim_deduplicate(),
    "srl": _srl(),
    "srl-shape": _srl(contrast=0.0),
    "supcon": _supcon(),
}
