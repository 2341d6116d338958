"""The Triton engine on a real GPU, with the tiles that it takes there: ``make gpu``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from benchmarks import gpu_engines
from tests.contracts.batches import Batch, make_batch
from torch import Tensor

from conr import conr_loss
from conr.pairwise import Contrast, Rule, Samples, contrast

pytestmark = pytest.mark.gpu
RULE = Rule(window=1.0, distance="l2", distance_scale=0.1, push="exp", temperature=0.1)
# Of similarities of up to 1 / temperature: float64; three products of TF32; 10 bits of TF32; 8 bits of bfloat16.
TOLERANCES = {"float64": 1e-10, "highest": 2e-5, "high": 5e-3, "medium": 3e-2}


@pytest.fixture(autouse=True)
def gpu() -> Iterator[None]:
    if not torch.cuda.is_available():
        pytest.fail("tests marked gpu: expected a CUDA GPU, torch sees none")
    yield
    torch.set_float32_matmul_precision("highest")


def terms_and_gradients(
    batch: Batch, rule: Rule, others: Batch | None, *, engine: str, device: str, dtype: torch.dtype
) -> tuple[Contrast, list[Tensor]]:
    parts = [batch] if others is None else [batch, others]
    mine, *more = (
        Samples(
            part.features.detach().to(device, dtype).requires_grad_(),
            part.labels.to(device, dtype),
            part.predictions.to(device, dtype),
        )
        for part in parts
    )
    found = contrast(mine, batch.weights.to(device, dtype), rule, others=more[0] if more else None, engine=engine)
    upstream = torch.linspace(-1, 2, len(batch.labels), dtype=dtype, device=device)
    (found.log_total * upstream + found.mean_positive * upstream.flip(0)).sum().backward()  # type: ignore[no-untyped-call]
    leaves = [part.features for part in (mine, *more)]
    return Contrast(*(term.detach() for term in found)), [leaf.grad for leaf in leaves if leaf.grad is not None]


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize(
    ("k", "distance", "push", "n", "m", "d"),
    [
        (1, "l2", "exp", 1000, None, 128),
        (1, "l1", "linear", 333, 250, 100),
        (2, "l2", "exp", 700, 300, 300),
        (3, "linf", "linear", 500, None, 600),
        (2, "angular", "exp", 300, 100, 24),
        (1, "l2", "exp", 1, None, 5),
    ],
    ids=str,
)
def test_equals_dense_in_double_precision(  # noqa: PLR0917 - one case
    k: int, distance: str, push: str, n: int, m: int | None, d: int, precision: str
) -> None:
    batch = make_batch(7, n=n, d=d, k=k, grid=0.5)
    others = None if m is None else make_batch(8, n=m, d=d, k=k, grid=0.5)
    rule = RULE._replace(distance=distance, push=push, window=1.0005 if distance == "angular" else 1.0)
    terms, gradients = terms_and_gradients(batch, rule, others, engine="dense", device="cpu", dtype=torch.float64)
    dtype = torch.float64 if precision == "float64" else torch.float32
    if dtype is torch.float32:
        torch.set_float32_matmul_precision(precision)
    found, found_gradients = terms_and_gradients(batch, rule, others, engine="triton", device="cuda", dtype=dtype)
    tolerance = TOLERANCES[precision]
    for term, right in zip((*found, *found_gradients), (*terms, *gradients), strict=True):
        torch.testing.assert_close(term.cpu().double(), right, rtol=tolerance, atol=tolerance / rule.temperature)


@pytest.mark.parametrize("window", [0.1, 0.3])
def test_pairs_at_the_very_edge_are_decided_as_in_dense(window: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels, predictions = (torch.randint(0, 40, (900, 1), generator=generator).cuda() / 10 for _ in range(2))
    batch, weights = Samples(torch.ones(900, 2).cuda(), labels, predictions), torch.ones(900).cuda()
    rule = RULE._replace(window=window)
    expected = contrast(batch, weights, rule, engine="dense")
    found = contrast(batch, weights, rule, engine="triton")
    assert torch.equal(found.positives, expected.positives)
    assert torch.equal(found.negatives, expected.negatives)
    assert found.positives.sum() > 0


@pytest.mark.parametrize("k", [1, 2])
def test_nothing_waits_for_the_gpu(k: int) -> None:
    inputs = [tensor.float().cuda() for tensor in make_batch(3, n=500, d=64, k=k)]
    inputs[0].requires_grad_()

    def step() -> None:
        conr_loss(*inputs[:3], window=1.0, weights=inputs[3], engine="triton").backward()  # type: ignore[no-untyped-call]

    step()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_large_batches_equal_blockwise_in_linear_memory() -> None:
    n, d = 20_000, 128
    samples, rule = gpu_engines.batch(gpu_engines.Point(n, d, 0.05), "cuda")
    gradients = []
    for engine in ("blockwise", "triton"):
        features = samples.features.clone().requires_grad_()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        conr_loss(features, *samples[1:], **rule._asdict(), engine=engine).backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        gradients.append(features.grad)
    assert torch.cuda.max_memory_allocated() - before < 10 * 4 * n * d
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-3 * float(gradients[0].abs().max()))


def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu_engines.write_results.__kwdefaults__", {"skipped": None, "folder": tmp_path})
    gpu_engines.main(["--sizes", "512", "--runs", "1"])
    assert '"triton"' in (tmp_path / "gpu_engines.json").read_text()
