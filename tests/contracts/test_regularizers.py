import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contracts.batches import Batch, batches, make_batch
from tests.contracts.registry import REGULARIZERS, Case
from tests.tolerances import TOLERANCE
from torch import Tensor

every_case = pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS.keys())


def gradient(module: Callable[..., Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
    features = batch.features.detach().clone().requires_grad_()
    loss = module(features, batch.labels, batch.predictions, batch.weights)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    return loss.detach(), features.grad


def batch_for(case: Case, seed: int = 3, n: int = 16) -> Batch:
    return make_batch(seed, n=n, k=min(2, case.label_dimensions[-1]))


@every_case
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_its_oracle(case: Case, data: st.DataObject) -> None:
    batch = data.draw(batches(case.label_dimensions))
    expected = case.oracle(
        batch.features.tolist(),
        batch.labels.tolist(),
        batch.predictions.tolist(),
        batch.weights.tolist(),
        **case.settings,
    )
    terms = case.build(reduction="none")(*batch)
    torch.testing.assert_close(terms, torch.tensor(expected, dtype=torch.float64), **TOLERANCE[torch.float64])
    mean = case.build()(*batch)
    torch.testing.assert_close(mean, terms.sum() / len(expected), **TOLERANCE[torch.float64])
    torch.testing.assert_close(case.build(reduction="sum")(*batch), terms.sum(), **TOLERANCE[torch.float64])


@every_case
def test_the_batches_of_these_tests_have_anchors(case: Case) -> None:
    terms = case.build(reduction="none")(*batch_for(case))
    assert (terms != 0).sum() >= 4


@every_case
@pytest.mark.parametrize("seed", [3, 4])
def test_gradient_equals_finite_differences(case: Case, seed: int) -> None:
    batch = batch_for(case, seed, n=10)
    module = case.build(reduction="none")
    features = batch.features.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: module(z, batch.labels, batch.predictions, batch.weights), features)


@every_case
def test_order_of_samples_does_not_matter(case: Case) -> None:
    batch = batch_for(case)
    order = torch.randperm(len(batch.labels), generator=torch.Generator().manual_seed(0))
    loss, grad = gradient(case.build(), batch)
    shuffled_loss, shuffled_grad = gradient(case.build(), Batch(*(tensor[order] for tensor in batch)))
    torch.testing.assert_close(shuffled_loss, loss, **TOLERANCE[torch.float64])
    torch.testing.assert_close(shuffled_grad, grad[order], **TOLERANCE[torch.float64])


def far_apart(batch: Batch) -> Batch:
    """Four labels further apart than the window, also as angles."""
    labels = torch.zeros_like(batch.labels)
    labels[:, -1] = torch.tensor([0.0, 1.5, 3.0, 4.5])
    return batch._replace(labels=labels)


DEGENERATE: dict[str, Callable[[Batch], Batch]] = {
    "one sample": lambda batch: Batch(*(tensor[:1] for tensor in batch)),
    "no samples": lambda batch: Batch(*(tensor[:0] for tensor in batch)),
    "equal labels": lambda batch: batch._replace(labels=torch.zeros_like(batch.labels)),
    "no positives": lambda batch: far_apart(Batch(*(tensor[:4] for tensor in batch))),
    "no negatives": lambda batch: batch._replace(predictions=batch.labels * 1000),
    "equal predictions": lambda batch: batch._replace(predictions=torch.zeros_like(batch.predictions)),
    "zero features": lambda batch: batch._replace(features=torch.zeros_like(batch.features)),
    "equal features": lambda batch: batch._replace(features=torch.ones_like(batch.features)),
    "huge features": lambda batch: batch._replace(features=1e15 * batch.features),
    "tiny weights": lambda batch: batch._replace(weights=1e-30 * batch.weights),
}


@every_case
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("temperature", [0.01, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_never_nan_and_a_zero_keeps_the_graph(case: Case, name: str, temperature: float, dtype: torch.dtype) -> None:
    batch = DEGENERATE[name](batch_for(case)).to(dtype)
    module = case.make(**case.settings | {"temperature": temperature})
    loss, grad = gradient(module, batch)
    assert torch.isfinite(loss)
    assert torch.isfinite(grad).all()
    if name in ("one sample", "no samples", "equal labels", "no positives", "no negatives"):
        assert loss == 0
        assert not grad.any()


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision_comes_close(case: Case, dtype: torch.dtype) -> None:
    batch = batch_for(case)
    expected, expected_grad = gradient(case.build(), batch)
    loss, grad = gradient(case.build(), batch._replace(features=batch.features.to(dtype)))
    assert loss.dtype == torch.float32
    assert grad.dtype == dtype
    torch.testing.assert_close(loss.double(), expected, **TOLERANCE[dtype])
    torch.testing.assert_close(grad.double(), expected_grad, **TOLERANCE[dtype])


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_temperature_of_one_hundredth_is_finite_in_half_precision(case: Case, dtype: torch.dtype) -> None:
    batch = batch_for(case).to(dtype)
    loss, grad = gradient(case.make(**case.settings | {"temperature": 0.01}), batch)
    assert torch.isfinite(loss)
    assert torch.isfinite(grad).all()


@every_case
def test_autocast_does_not_lower_the_precision(case: Case) -> None:
    batch = batch_for(case).to(torch.float32)
    expected, expected_grad = gradient(case.build(), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, grad = gradient(case.build(), batch)
    assert torch.equal(loss, expected)
    assert torch.equal(grad, expected_grad)


@every_case
def test_inputs_are_not_changed(case: Case) -> None:
    batch = batch_for(case)
    before = copy.deepcopy(batch)
    gradient(case.build(), batch)
    for tensor, original in zip(batch, before, strict=True):
        assert torch.equal(tensor, original)


@every_case
def test_only_features_get_a_gradient(case: Case) -> None:
    batch = Batch(*(tensor.requires_grad_() for tensor in batch_for(case)))
    case.build()(*batch).backward()
    assert batch.features.grad is not None
    assert batch.labels.grad is None
    assert batch.predictions.grad is None
    assert batch.weights.grad is None


@every_case
def test_backward_twice_gives_the_same(case: Case) -> None:
    batch = batch_for(case)
    features = batch.features.requires_grad_()
    loss = case.build()(features, *batch[1:])
    (first,) = torch.autograd.grad(loss, features, retain_graph=True)
    (second,) = torch.autograd.grad(loss, features)
    assert torch.equal(first, second)


@every_case
def test_survives_pickle_copy_and_state_dict(case: Case) -> None:
    batch = batch_for(case)
    module = case.build()
    expected = module(*batch)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module), module.to("cpu")):  # noqa: S301
        assert torch.equal(twin(*batch), expected)
    fresh = case.build()
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(*batch), expected)


# After a graph break torch looks at .grad of what comes next, and hides its own warning only if warnings are no errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@every_case
def test_compiles_to_the_same_value(case: Case) -> None:
    batch = batch_for(case).to(torch.float32)
    expected, expected_grad = gradient(case.build(), batch)
    torch.compiler.reset()
    loss, grad = gradient(torch.compile(case.build(), backend="aot_eager", fullgraph=case.fullgraph), batch)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float32])
    torch.testing.assert_close(grad, expected_grad, **TOLERANCE[torch.float32])
