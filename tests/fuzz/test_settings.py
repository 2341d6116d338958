"""Random settings of every public loss function and module: numbers of all kinds, words, None."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from tests.fuzz.search import Refused, attempt, examples, search

from conr import losses, metrics, smoothing
from conr.density import Bins, DenseWeight, LabelDensity
from conr.testing import make_batch

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(losses, name)
    for name in (
        "accon_loss", "bmc_loss", "conr_loss", "conr_statistics", "elementwise_loss",
        "evidential_loss", "focal_r_loss", "ordinal_entropy_loss", "rank_n_contrast_loss", "ranksim_loss",
        "supcon_loss", "vir_loss",
    )
} | {"conr_confusion": metrics.conr_confusion}  # fmt: skip
MODULES: dict[str, Callable[..., Any]] = {
    name: getattr(source, name)
    for source, names in (
        (
            losses,
            (
                "BMC", "BNI", "GAI", "HCA", "L1", "MSE", "UVOTE", "VIR", "ACConLoss", "ConRLoss", "DenseConR",
                "DistLoss", "Evidential", "FocalR", "Huber", "OrdinalEntropyLoss", "RankNContrastLoss",
                "RankSimLoss", "SRLLoss", "SupConLoss",
            ),
        ),
        (smoothing, ("FDS", "VariationalFDS")),
    )
    for name in names
} | {"LabelDensity": LabelDensity, "DenseWeight": DenseWeight, "Bins": Bins}  # fmt: skip
TENSORS = {"evidential_loss": (4,), "vir_loss": (3,)}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    (0, 0.0, -1, -0.5, 1e-300, 1e300, float("nan"), float("inf"), True, None, "text", (1,), [], 2.5)
)
USUAL = {
    str: ("mean", "sum", "none", "l1", "mse", "huber", "l2", "linf", "angular", "exp", "linear", "auto", "dense",
          "blockwise", "windowed", "sigmoid", "tanh", "gaussian", "inverse", "sqrt_inverse", "image", "local"),
    bool: (True, False),
    float: (0.01, 0.5, 1.0, 2.0),
    int: (1, 2, 3, 5),
}  # fmt: skip


@st.composite
def arguments(draw: st.DrawFn, function: Callable[..., Any]) -> dict[str, Any]:
    """Values for the keywords of a function: some as documented, some odd, some left out if they can be."""
    chosen: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("weights", "features", "labels", "predictions", "candidates", "regions", "bins", "fixed_regions"):
            continue
        is_needed = parameter.default is inspect.Parameter.empty
        kind = draw(st.integers(0, 5))
        if parameter.annotation in (bool, "bool"):
            chosen[name] = draw(st.booleans())
            continue
        if kind == 0:
            chosen[name] = draw(ODD)
        elif is_needed or kind == 1:
            words = [values for type_, values in USUAL.items() if type_.__name__ in str(parameter.annotation)]
            chosen[name] = draw(st.sampled_from([one for values in words for one in values] or [1.0]))
    return chosen


@examples(few=80, many=4_000)
def test_functions(examples: int) -> None:
    batch = make_batch(3, n=7, d=4, k=1)

    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(FUNCTIONS)))
        function = FUNCTIONS[name]
        given = data.draw(arguments(function))
        wanted = inspect.signature(function).parameters
        inputs = {one: getattr(batch, one) for one in ("features", "labels", "predictions", "weights") if one in wanted}
        if name in TENSORS:
            inputs["predictions"] = torch.randn(7, 1, *TENSORS[name], generator=torch.Generator().manual_seed(0))
        found = attempt(lambda: function(**inputs, **given))
        if not isinstance(found, Refused):
            for value in found if isinstance(found, tuple) else (found,):
                assert isinstance(value, torch.Tensor)

    search(check, examples, data=st.data())


@examples(few=80, many=4_000)
def test_constructors(examples: int) -> None:
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(MODULES)))
        given = data.draw(arguments(MODULES[name]))
        attempt(lambda: MODULES[name](**given))

    search(check, examples, data=st.data())
