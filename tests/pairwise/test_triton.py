"""The Triton engine, its kernels interpreted on the CPU, against the oracle and the dense engine."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.contracts.batches import Batch, make_batch
from tests.oracles.conr import conr_per_anchor
from tests.pairwise.interpreter import Run, interpreter_process
from tests.tolerances import TOLERANCE
from tests.versions import is_before
from torch import Tensor

from conr import conr_loss
from conr.pairwise import Contrast, Rule, Samples, contrast
from conr.pairwise.triton_engine import LEAST_TRITON

pytestmark = pytest.mark.skipif(is_before("triton", *LEAST_TRITON), reason="needs triton 3.5, as the engine says")

RULE = Rule(window=1.0, distance="l2", distance_scale=0.1, push="exp", temperature=0.4)
EXACT = TOLERANCE[torch.float64]


def arguments(rule: Rule) -> dict[str, Any]:
    """Of `conr_loss` and of the oracle."""
    return {name: value for name, value in rule._asdict().items() if name != "exact"}


@pytest.fixture(scope="module")
def interpreted() -> Iterator[Run]:
    with interpreter_process() as run:
        yield run


def terms_and_gradients(
    batch: Batch,
    rule: Rule = RULE,
    others: Batch | None = None,
    *,
    precision: str = "highest",
    engine: str = "triton",
    block: int = 16,
) -> tuple[Contrast, list[Tensor]]:
    """The terms of an engine, and the gradients of features under a different upstream gradient for each anchor."""
    mine, more = (
        None
        if part is None
        else Samples(part.features.detach().clone().requires_grad_(), part.labels, part.predictions)
        for part in (batch, others)
    )
    assert mine is not None
    torch.set_float32_matmul_precision(precision)
    found = contrast(mine, batch.weights, rule, others=more, engine=engine, block=block)
    upstream = torch.linspace(-1, 2, len(batch.labels), dtype=batch.features.dtype)
    (found.log_total * upstream + found.mean_positive * upstream.flip(0)).sum().backward()  # type: ignore[no-untyped-call]
    leaves = [part.features for part in (mine, more) if part is not None]
    return Contrast(*(term.detach() for term in found)), [leaf.grad for leaf in leaves if leaf.grad is not None]


# n and m are no multiples of the tile of 16, and d is no power of 2 and above the 16 features of a step.
CASES: list[tuple[int, str, str, int, int | None, int]] = [
    (1, "l2", "exp", 33, None, 5),
    (1, "l1", "linear", 20, 18, 20),
    (2, "l1", "linear", 18, 7, 3),
    (2, "linf", "exp", 18, None, 3),
    (3, "l2", "exp", 20, 17, 20),
    (2, "angular", "exp", 20, 17, 3),
    (1, "linf", "exp", 1, None, 4),
    (1, "l2", "exp", 17, 0, 4),
    (1, "l2", "exp", 0, 3, 4),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_dense(interpreted: Run, case: tuple[int, str, str, int, int | None, int]) -> None:
    k, distance, push, n, m, d = case
    batch = make_batch(7, n=n, d=d, k=k, grid=0.5)
    others = None if m is None else make_batch(8, n=m, d=d, k=k, grid=0.5)
    window = 1.0005 if distance == "angular" else 1.0
    rule = RULE._replace(distance=distance, push=push, window=window)
    expected, expected_gradients = terms_and_gradients(batch, rule, others, engine="dense")
    terms, gradients = interpreted(terms_and_gradients, batch, rule, others)
    torch.testing.assert_close(terms, expected, **EXACT)
    torch.testing.assert_close(gradients, expected_gradients, **EXACT)
    if n >= 18:
        assert ((expected.positives > 0) & (expected.negatives > 0)).sum() >= 3


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_labels_of_several_dimensions_may_be_as_large_as_their_type_holds(interpreted: Run, scale: float) -> None:
    batch = make_batch(7, n=20, d=5, k=3, grid=0.5).to(torch.float32)
    expected, _ = terms_and_gradients(batch, engine="dense")
    scaled = batch._replace(labels=scale * batch.labels, predictions=scale * batch.predictions)
    terms, _ = interpreted(terms_and_gradients, scaled, RULE._replace(window=scale, distance_scale=0.1 / scale))
    assert expected.positives.any()
    torch.testing.assert_close(terms, expected, **TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_counts_all_neighbours_on_a_grid(interpreted: Run, dtype: torch.dtype) -> None:
    steps = torch.arange(40.0).unsqueeze(1)
    tenths = torch.tensor([[round(0.1 * step, 1)] for step in range(40)], dtype=dtype)
    batch = Batch(torch.ones(40, 4), tenths, 2 * tenths, torch.ones(40))
    terms, _ = interpreted(terms_and_gradients, batch, RULE._replace(window=0.1))
    assert torch.equal(terms.positives, ((steps - steps.T).abs() <= 1).sum(dim=1) - 1.0)


def per_anchor(batch: Batch, more: Batch, rule: Rule) -> Tensor:
    return conr_loss(
        *batch[:3],
        weights=batch.weights,
        **arguments(rule),
        reduction="none",
        engine="triton",
        candidates=Samples(*more[:3]),
    )


@pytest.mark.parametrize("push", ["exp", "linear"])
def test_equals_the_oracle(interpreted: Run, push: str) -> None:
    batch, more, rule = make_batch(1, n=14), make_batch(2, n=9), RULE._replace(push=push)
    expected = conr_per_anchor(
        *(tensor.tolist() for tensor in batch),
        **arguments(rule),
        weight_anchors=True,
        candidates=(more.features.tolist(), more.labels.tolist(), more.predictions.tolist()),
    )
    found = interpreted(per_anchor, batch, more, rule)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), **EXACT)
    assert found.count_nonzero() > 4


CROWDS: dict[str, Callable[[Batch], Batch]] = {
    "one prediction": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "one label": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "no pairs": lambda batch: batch._replace(
        labels=5 * torch.arange(len(batch.labels)).double().unsqueeze(1),
        predictions=-7 * torch.arange(len(batch.labels)).double().unsqueeze(1),
    ),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_crowds_of_equal_values(interpreted: Run, crowd: str) -> None:
    batch = CROWDS[crowd](make_batch(5, n=20))
    expected, expected_gradients = terms_and_gradients(batch, engine="dense")
    terms, gradients = interpreted(terms_and_gradients, batch)
    torch.testing.assert_close(terms, expected, **EXACT)
    torch.testing.assert_close(gradients, expected_gradients, **EXACT)
    if crowd == "no pairs":
        assert not terms.log_total.any()
        assert not gradients[0].any()


def counts(batch: Samples, others: Samples, rule: Rule, engine: str) -> tuple[Tensor, Tensor]:
    found = contrast(batch, torch.ones(len(batch.labels)), rule, others=others, engine=engine, block=32)
    return found.positives, found.negatives


EDGES: list[tuple[torch.dtype, float, float, str, int, bool]] = [
    (torch.float32, 1e4, 0.1, "l2", 1, False),
    (torch.float64, -3.0, 0.3, "l2", 1, False),
    (torch.float32, 0.0, 0.1, "l2", 1, True),
    (torch.float32, 0.0, 0.3, "l1", 2, False),
    (torch.float32, 0.0, 0.2, "linf", 3, True),
    (torch.float32, -0.2, 0.5, "l2", 2, False),
]


@pytest.mark.parametrize("edge", EDGES, ids=str)
def test_kernels_have_the_one_pair_rule(
    interpreted: Run, edge: tuple[torch.dtype, float, float, str, int, bool]
) -> None:
    """Labels in tenths: whether two are within the window is up to rounding, and to the allowance for it."""
    dtype, offset, window, distance, k, exact = edge
    generator = torch.Generator().manual_seed(0)
    steps = (torch.randint(0, 40 if k == 1 else 9, (90, k), generator=generator).to(dtype) for _ in range(2))
    labels, predictions = (offset + one / 10 for one in steps)
    batch = Samples(torch.ones(90, 2), labels, predictions)
    others = Samples(torch.ones(50, 2), labels[:50].flip(0), predictions[:50])
    rule = RULE._replace(window=window, distance=distance, exact=exact)
    expected = counts(batch, others, rule, "dense")
    for found, right in zip(interpreted(counts, batch, others, rule, "triton"), expected, strict=True):
        assert torch.equal(found, right)
        assert right.sum() > 0


# Products of bfloat16 have 8 bits, relative to similarities of up to 1 / temperature; the interpreter has no TF32.
@pytest.mark.parametrize(("precision", "tolerance"), [("highest", 2e-5), ("high", 2e-5), ("medium", 3e-2)])
def test_float32_and_its_precisions(interpreted: Run, precision: str, tolerance: float) -> None:
    batch, more = make_batch(6, n=20, d=20), make_batch(9, n=10, d=20)
    rule = RULE._replace(temperature=0.05)
    terms, gradients = terms_and_gradients(batch, rule, more, engine="dense")
    found, found_gradients = interpreted(
        terms_and_gradients, batch.to(torch.float32), rule, more.to(torch.float32), precision=precision
    )
    for term, right in zip((*found, *found_gradients), (*terms, *gradients), strict=True):
        assert term.dtype is torch.float32
        torch.testing.assert_close(term.double(), right, rtol=tolerance, atol=tolerance / rule.temperature)
    if precision == "medium":  # it is not float32 after all
        assert (found.log_total.double() - terms.log_total).abs().max() > 1e-4


def is_tainted(batch: Batch, field: str) -> bool:
    spoilt = getattr(batch, field).clone()
    spoilt[3] = torch.nan
    spoilt_batch = batch._replace(**{field: spoilt})
    found = contrast(Samples(*spoilt_batch[:3]), spoilt_batch.weights, RULE, engine="triton", block=32)
    return bool(found.log_total[3].isnan() if field == "weights" else found.log_total.isnan().all())


@pytest.mark.parametrize("field", ["features", "labels", "predictions", "weights"])
def test_a_nan_is_not_swallowed(interpreted: Run, field: str) -> None:
    assert interpreted(is_tainted, make_batch(9, n=20), field)


def saved_numbers(batch: Batch) -> int:
    """How many numbers autograd keeps between forward and backward, the same tensor counted as often as it is saved."""
    saved = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    batch.features.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        conr_loss(*batch[:3], window=1.0, weights=batch.weights, engine="triton")
    return saved


def test_memory_is_linear_in_the_batch(interpreted: Run) -> None:
    n, d = 150, 16
    assert interpreted(saved_numbers, make_batch(2, n=n, d=d)) <= 4 * n * d + 20 * n


def anchors_need_no_gradient(batch: Batch, more: Batch) -> tuple[Tensor, bool]:
    """Gradient of candidates alone, as a memory that is trained would ask for it."""
    candidates = Samples(more.features.detach().clone().requires_grad_(), more.labels, more.predictions)
    conr_loss(*batch[:3], window=1.0, engine="triton", candidates=candidates).backward()  # type: ignore[no-untyped-call]
    assert candidates.features.grad is not None
    return candidates.features.grad, batch.features.grad is None


def test_only_features_that_ask_get_a_gradient(interpreted: Run) -> None:
    batch, more = make_batch(3, n=12), make_batch(4, n=10)
    found, untouched = interpreted(anchors_need_no_gradient, batch, more)
    more.features.requires_grad_()
    conr_loss(*batch[:3], window=1.0, engine="dense", candidates=Samples(*more[:3])).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, more.features.grad, **EXACT)
    assert untouched


def test_without_triton_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr.pairwise.triton_engine.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="engine: 'triton' needs the package triton, not installed here; it comes"):
        conr_loss(*make_batch(1)[:3], window=1.0, engine="triton")


@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="kernels run on the CPU here")
def test_without_a_gpu_the_error_names_it() -> None:
    with pytest.raises(ValueError, match="engine: 'triton' needs samples on a GPU, got device cpu"):
        conr_loss(*make_batch(1)[:3], window=1.0, engine="triton")


def refusal(rule: Rule, block: int) -> str:
    batch = make_batch(1)
    with pytest.raises(ValueError, match="expects") as error:
        contrast(Samples(*batch[:3]), batch.weights, rule, engine="triton", block=block)
    return str(error.value)


def distance_of_ones_own(first: Tensor, second: Tensor) -> Tensor:
    return (first - second.T).abs()


@pytest.mark.parametrize(
    ("rule", "block", "message"),
    [
        (RULE._replace(push=torch.exp), 16, "engine: 'triton' expects the name of a push, got a function"),
        (
            RULE._replace(distance=distance_of_ones_own),
            16,
            "engine: 'triton' expects the name of a distance, got a function",
        ),
        (RULE, 24, "block: engine 'triton' expects a power of 2 of at least 16, got 24"),
        (RULE, 8, "block: engine 'triton' expects a power of 2 of at least 16, got 8"),
    ],
)
def test_what_the_kernels_cannot_do_is_refused(interpreted: Run, rule: Rule, block: int, message: str) -> None:
    assert interpreted(refusal, rule, block) == message
