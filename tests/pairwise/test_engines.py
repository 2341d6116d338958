import itertools
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.batches import Batch, make_batch
from tests.oracles.conr import conr_per_anchor
from tests.tolerances import TOLERANCE
from torch import Tensor

from conr import conr_loss
from conr.pairwise import Contrast, Distance, Rule, Samples, choose_engine, contrast, engines
from conr.pairwise.recompute import exponentials_fit

RULE = Rule(window=1.0, distance="l2", distance_scale=0.1, push="exp", temperature=0.4)
ARGUMENTS = {name: value for name, value in RULE._asdict().items() if name != "exact"}
EXACT = TOLERANCE[torch.float64]


def samples(batch: Batch) -> Samples:
    return Samples(batch.features.detach().clone().requires_grad_(), batch.labels, batch.predictions)


def terms_and_gradients(
    batch: Batch, rule: Rule = RULE, others: Batch | None = None, **options: Any
) -> tuple[Contrast, list[Tensor]]:
    """The terms of an engine, and the gradients of features under a different upstream gradient for each anchor."""
    mine, more = samples(batch), None if others is None else samples(others)
    found = contrast(mine, batch.weights, rule, others=more, **options)
    upstream = torch.linspace(-1, 2, len(batch.labels), dtype=batch.features.dtype)
    (found.log_total * upstream + found.mean_positive * upstream.flip(0)).sum().backward()  # type: ignore[no-untyped-call]
    leaves = [part.features for part in (mine, more) if part is not None]
    return Contrast(*(term.detach() for term in found)), [leaf.grad for leaf in leaves if leaf.grad is not None]


def manhattan_downhill(first: Tensor, second: Tensor) -> Tensor:
    """No metric: a step up counts twice, so that pairs are not mutual."""
    steps = second.unsqueeze(0) - first.unsqueeze(1)  # (n, m, k)
    return torch.where(steps > 0, 2 * steps, -steps).sum(dim=2)


DISTANCES: list[Distance] = ["l1", "l2", "linf", manhattan_downhill]
CASES: list[tuple[str, int, Distance]] = [
    *itertools.product(["blockwise"], [1, 2, 3], DISTANCES),
    *itertools.product(["windowed"], [1], DISTANCES[:3]),
    ("blockwise", 2, "angular"),
]


@pytest.mark.parametrize(("engine", "k", "distance"), CASES)
def test_any_block_size_equals_dense(engine: str, k: int, distance: Distance) -> None:
    push = "linear" if k == 2 else "exp"
    rule = RULE._replace(distance=distance, push=push, window=1.0005 if distance == "angular" else 1.0)
    for n, m in itertools.product((1, 2, 33), (None, 0, 20)):
        batch = make_batch(7, n=n, k=k, grid=0.5)
        others = None if m is None else make_batch(8, n=m, k=k, grid=0.5)
        expected, expected_gradients = terms_and_gradients(batch, rule, others, engine="dense")
        if n == 33:
            assert ((expected.positives > 0) & (expected.negatives > 0)).sum() >= 4
        for block in {1, 7, 64, n} - ({1} if n == 33 and callable(distance) else set()):  # a call for each tile
            terms, gradients = terms_and_gradients(batch, rule, others, engine=engine, block=block)
            torch.testing.assert_close(terms, expected, **EXACT)
            torch.testing.assert_close(gradients, expected_gradients, **EXACT)


@pytest.mark.parametrize(
    ("engine", "distance"), [*itertools.product(["dense", "blockwise"], DISTANCES), ("windowed", "l2")]
)
def test_candidates_that_want_no_gradient_change_none(engine: str, distance: Distance) -> None:
    """Such as those of a memory, whose part of the backward pass is left out."""
    for d in (2, 64):
        _candidates_that_want_no_gradient_change_none(engine, distance, d)


def _candidates_that_want_no_gradient_change_none(engine: str, distance: Distance, d: int) -> None:
    batch, others = make_batch(7, n=33, grid=0.5, d=d), make_batch(8, n=20, grid=0.5, d=d)
    rule, found = RULE._replace(distance=distance), []
    for wanted in (True, False):
        mine, more = samples(batch), samples(others)
        more.features.requires_grad_(wanted)
        block = None if engine == "dense" else 8
        contrast(mine, batch.weights, rule, others=more, engine=engine, block=block).log_total.sum().backward()  # type: ignore[no-untyped-call]
        found.append(mine.features.grad)
        assert (more.features.grad is not None) == wanted
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["dense", "blockwise", "windowed"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 16), m=st.integers(0, 16))
def test_candidates_equal_the_oracle(engine: str, seed: int, n: int, m: int) -> None:
    batch, more = make_batch(seed, n=n), make_batch(seed + 1, n=m)
    expected = conr_per_anchor(
        *(tensor.tolist() for tensor in batch),
        **ARGUMENTS,
        weight_anchors=True,
        candidates=(more.features.tolist(), more.labels.tolist(), more.predictions.tolist()),
    )
    found = conr_loss(
        *batch[:3],
        weights=batch.weights,
        **ARGUMENTS,
        reduction="none",
        engine=engine,
        candidates=Samples(*more[:3]),
    )
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), **EXACT)


def decimals(n: int, dtype: torch.dtype, *, offset: float = 0.0) -> tuple[Tensor, Tensor]:
    """Labels and predictions in tenths: whether two that are one tenth apart are within a tenth is up to rounding."""
    generator = torch.Generator().manual_seed(0)
    labels, predictions = (torch.randint(0, 40, (n, 1), generator=generator).to(dtype) for _ in range(2))
    return offset + labels / 10, offset + predictions / 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("offset", "window"), [(0.0, 0.1), (0.0, 1e-9), (-3.0, 0.3), (1e4, 0.1), (1e4, 1e-9)])
@pytest.mark.parametrize("engine", ["blockwise", "windowed"])
def test_pairs_at_the_very_edge_are_decided_as_in_dense(
    engine: str, window: float, offset: float, dtype: torch.dtype
) -> None:
    labels, predictions = decimals(150, dtype, offset=offset)
    batch = Samples(torch.ones(150, 2), labels, predictions)
    others = Samples(torch.ones(80, 2), labels[:80].flip(0), predictions[:80])
    rule = RULE._replace(window=window)
    dense = contrast(batch, torch.ones(150), rule, engine="dense", others=others)
    found = contrast(batch, torch.ones(150), rule, engine=engine, others=others, block=4)
    assert torch.equal(found.positives, dense.positives)
    assert torch.equal(found.negatives, dense.negatives)
    assert dense.positives.sum() > 0


CROWDS: dict[str, Callable[[Batch], Batch]] = {
    "three labels": lambda batch: batch._replace(labels=batch.labels % 3 * 5),
    "one label": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "one prediction": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "three labels, one prediction": lambda batch: batch._replace(
        labels=batch.labels % 3 * 5, predictions=torch.zeros_like(batch.predictions)
    ),
    "no pairs": lambda batch: batch._replace(
        labels=5 * torch.arange(len(batch.labels)).double().unsqueeze(1), predictions=batch.labels * 1000
    ),
}


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("engine", ["blockwise", "windowed"])
def test_crowds_of_equal_values(engine: str, crowd: str) -> None:
    batch = CROWDS[crowd](make_batch(5, n=1200))
    expected, expected_gradients = terms_and_gradients(batch, engine="dense")
    terms, gradients = terms_and_gradients(batch, engine=engine)
    torch.testing.assert_close(terms, expected, **EXACT)
    torch.testing.assert_close(gradients, expected_gradients, **EXACT)


@pytest.mark.parametrize("engine", ["blockwise", "windowed"])
@pytest.mark.parametrize("temperature", [0.005, 0.07])
def test_float32_neither_underflows_nor_overflows(engine: str, temperature: float) -> None:
    """At a temperature of 0.005 the terms of one sum differ by a factor of up to e^400."""
    batch = make_batch(6, n=200, d=2)
    rule = RULE._replace(temperature=temperature)
    expected, expected_gradients = terms_and_gradients(batch, rule, engine="dense")
    terms, gradients = terms_and_gradients(batch.to(torch.float32), rule, engine=engine, block=16)
    for term, double in zip(terms, expected, strict=True):
        torch.testing.assert_close(term.double(), double, rtol=2e-5, atol=2e-5 / temperature)  # of 1 / temperature
    for gradient, double in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.double(), double, rtol=1e-3, atol=1e-4 / temperature)


@pytest.mark.parametrize("engine", ["blockwise", "windowed"])
@pytest.mark.parametrize("push", ["exp", "linear"])
@pytest.mark.parametrize(
    ("temperature", "distance_scale", "fit"), [(0.07, 0.1, True), (1e-3, 0.1, False), (1, 9e3, False)]
)
def test_exponentials_that_do_not_fit_are_taken_with_care(
    engine: str, push: str, temperature: float, distance_scale: float, *, fit: bool
) -> None:
    batch, others = make_batch(7, n=70), make_batch(8, n=30)
    rule = RULE._replace(push=push, temperature=temperature, distance_scale=distance_scale)
    if (push, temperature) != ("linear", 1):  # of a large push, the logarithm
        assert exponentials_fit(rule.prepare(samples(batch)), rule.prepare(samples(others)), rule) == fit
    expected, expected_gradients = terms_and_gradients(batch, rule, others, engine="dense")
    terms, gradients = terms_and_gradients(batch, rule, others, engine=engine)
    torch.testing.assert_close(terms, expected, **EXACT)
    torch.testing.assert_close(gradients, expected_gradients, **EXACT)


@pytest.mark.parametrize(
    ("scale", "zero"), [(1e-170, False), (1e-90, True), (1.0, False), (1.0, True), (1e90, False), (1e150, True)]
)
def test_length_of_wide_features_does_not_matter(scale: float, *, zero: bool) -> None:
    """The dense engine takes their lengths from products that might be too large or too small."""
    batch = make_batch(3, n=12, d=40)
    batch.features[:6] *= scale
    batch.features[4] *= 0 if zero else 1
    expected, expected_gradients = terms_and_gradients(batch, engine="blockwise")
    terms, gradients = terms_and_gradients(batch, engine="dense")
    torch.testing.assert_close(terms, expected, **EXACT)
    lengths = batch.features.norm(dim=1, keepdim=True)  # (n, 1): a gradient is inverse to the length
    torch.testing.assert_close(gradients[0] * lengths, expected_gradients[0] * lengths, **EXACT)


def saved_numbers(run: Callable[[], object]) -> int:
    """How many numbers autograd keeps between forward and backward, the same tensor counted as often as it is saved."""
    saved = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return saved


@pytest.mark.parametrize(("engine", "n"), [("blockwise", 500), ("windowed", 2000)])
def test_memory_is_linear_in_the_batch(engine: str, n: int) -> None:
    d = 16
    batch = make_batch(2, n=n, d=d)
    batch.features.requires_grad_()
    saved = saved_numbers(lambda: conr_loss(*batch[:3], window=1.0, weights=batch.weights, engine=engine))
    assert saved <= 4 * n * d + 20 * n
    dense = saved_numbers(lambda: conr_loss(*batch[:3], window=1.0, weights=batch.weights, engine="dense"))
    assert dense > 2 * n * n


@pytest.mark.parametrize("push", ["exp", "linear"])
@pytest.mark.parametrize("m", [None, 50])
def test_what_is_kept_for_backward_changes_nothing(push: str, m: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, others = make_batch(7, n=300, d=5), None if m is None else make_batch(8, n=m, d=5)
    rule, found, saved = RULE._replace(push=push, window=0.3), [], []
    for kept in (0, 14, 10**6):  # none, some, all
        monkeypatch.setattr(engines, "KEPT", kept)

        def run() -> None:
            found.append(terms_and_gradients(batch, rule, others, engine="windowed", block=8))

        saved.append(saved_numbers(run))
    assert saved[0] < saved[1] <= saved[0] + 14 * 300 * 5 < saved[2]
    torch.testing.assert_close(found[1], found[0], **EXACT)
    torch.testing.assert_close(found[2], found[0], **EXACT)


def test_a_second_backward_pass_gives_the_same() -> None:
    mine = samples(make_batch(7, n=300))
    loss = contrast(mine, torch.ones(300, dtype=torch.float64), RULE, engine="windowed").log_total.sum()
    first, second = (torch.autograd.grad(loss, mine.features, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("push", ["exp", "linear"])
@pytest.mark.parametrize("engine", ["blockwise", "windowed"])
def test_engines_agree_on_the_released_variants_too(engine: str, push: str, *, reference: bool) -> None:
    batch, more = make_batch(4, n=30), make_batch(5, n=10)
    arguments: dict[str, Any] = {"window": 1.0, "push": push, "weights": batch.weights, "reference": reference}
    arguments |= {"candidates": Samples(*more[:3]), "reduction": "none"}
    dense = conr_loss(*batch[:3], **arguments, engine="dense")
    torch.testing.assert_close(conr_loss(*batch[:3], **arguments, engine=engine), dense, **EXACT)


def test_labels_of_candidates_may_have_another_dtype() -> None:
    batch, more = make_batch(4, n=30), make_batch(5, n=10, grid=0.25)
    mixed = Samples(more.features.float(), more.labels, more.predictions.float())
    for engine in ("dense", "blockwise", "windowed"):
        found = conr_loss(
            batch.features, batch.labels.long(), batch.predictions.float(), window=1.0, engine=engine, candidates=mixed
        )
        expected = conr_loss(*batch[:3], window=1.0, candidates=Samples(*more[:3]))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # features of candidates were float32


def test_auto_takes_dense_for_small_and_for_crowded_batches_and_tiles_for_large_ones() -> None:
    def spread(n: int, *, window: float, crowd: bool = False, k: int = 1) -> tuple[Samples, Rule]:
        labels = torch.linspace(0, 1, n).unsqueeze(1).expand(n, k)
        rule = RULE._replace(window=window)
        return Samples(torch.zeros(n, 512), labels, torch.zeros(n, k) if crowd else labels), rule

    def chosen(batch: tuple[Samples, Rule], others: tuple[Samples, Rule] | None = None) -> str:
        return choose_engine(batch[0], None if others is None else others[0], batch[1])

    assert chosen(spread(250, window=0.01)) == "dense"  # few pairs, but few samples, too
    assert chosen(spread(2000, window=0.01)) == "windowed"
    assert chosen(spread(2000, window=0.01, k=2)) == "blockwise"
    assert chosen(spread(2000, window=0.01, crowd=True)) == "dense"  # every pair may be a negative
    assert chosen(spread(2000, window=0.9)) == "dense"
    assert chosen(spread(4000, window=0.9)) == "windowed"  # more memory than dense may take
    assert chosen(spread(300, window=0.01), spread(300, window=0.01)) == "dense"  # rectangles
    assert chosen(spread(1000, window=0.01), spread(4000, window=0.01)) == "windowed"
    batch, rule = spread(2000, window=0.01)
    assert choose_engine(batch, None, rule._replace(distance=manhattan_downhill)) == "dense"  # no tile is left out


@pytest.mark.parametrize("crowd", [False, True])
def test_auto_equals_what_it_takes(*, crowd: bool) -> None:
    batch = make_batch(5, n=1300, d=256, grid=0.5)
    labels = 40 * torch.rand(1300, 1, generator=torch.Generator().manual_seed(0)).double()
    batch = batch._replace(labels=labels, predictions=torch.zeros_like(labels) if crowd else labels + 2)
    expected = "dense" if crowd else "windowed"
    assert choose_engine(samples(batch), None, RULE) == expected
    found, exact = terms_and_gradients(batch, engine="auto"), terms_and_gradients(batch, engine=expected)
    torch.testing.assert_close(found, exact, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "windowd"}, "engine: expected one of 'auto', 'dense', .* got 'windowd'; did you mean 'windowed'"),
        (
            {"engine": "windowed", "labels": torch.zeros(4, 2), "predictions": torch.zeros(4, 2)},
            "engine: 'windowed' expects one-dimensional labels and the name of a distance, got k = 2",
        ),
        ({"engine": "windowed", "distance": manhattan_downhill}, "engine: 'windowed' .* got a function as distance"),
        (
            {"engine": "blockwise", "distance": "angular"},
            r"distance: 'angular' expects labels \(n, 2\) of pitch and yaw, got k = 1",
        ),
        (
            {"candidates": Samples(torch.zeros(5, 2), torch.zeros(5), torch.zeros(5))},
            "candidates: expected features of 3 columns like the batch, got 2",
        ),
        (
            {"candidates": Samples(torch.zeros(5, 3), torch.zeros(5, 2), torch.zeros(5, 2))},
            "candidates: expected labels of 1 columns like the batch, got 2",
        ),
        (
            {"candidates": Samples(torch.zeros(5, 3), torch.zeros(4), torch.zeros(4))},
            "candidates: labels: expected 5 samples like features, got 4",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "features": torch.zeros(4, 3),
        "labels": torch.zeros(4),
        "predictions": torch.zeros(4),
        "window": 1.0,
    }
    with pytest.raises(ValueError, match=message):
        conr_loss(**good | change)


def test_an_early_triton_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conr.pairwise.triton_engine.find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "conr.pairwise.triton_kernels", SimpleNamespace(INTERPRETED=False))
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__="3.4.0"))
    with pytest.raises(ImportError, match=r"'triton' needs triton 3\.5, which comes with torch 2\.9, got 3\.4\.0"):
        conr_loss(*make_batch(1)[:3], window=1.0, engine="triton")
