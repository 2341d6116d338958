import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tests.oracles.conr import conr_per_anchor
from tests.tolerances import TOLERANCE
from torch import Tensor

from conr import conr_loss
from conr.losses import DenseConR, dense_conr_loss, image_means, pixel_rows

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "conr_released_code.json").read_text())["cases"]
SETTINGS: dict[str, Any] = {"window": 0.2, "temperature": 0.3, "distance_scale": 0.5}
FORMS = ("image", "pixel")


class Maps(NamedTuple):
    features: Tensor
    labels: Tensor
    predictions: Tensor
    weights: Tensor

    def loss(self, **changes: Any) -> Tensor:
        return dense_conr_loss(*self[:3], weights=self.weights, **SETTINGS | changes)


def maps(n: int = 4, size: tuple[int, int] = (4, 6), *, d: int = 3, k: int = 1, missing: float = 0.2) -> Maps:
    """Depths on a grid of 0.1 m, so that distances hit the window; predictions that often agree; gaps in the labels."""
    generator = torch.Generator().manual_seed(n)
    features = torch.randn(n, d, *size, generator=generator, dtype=torch.float64)
    labels = 0.125 * torch.randint(8, 20, (n, k, *size), generator=generator).double()
    predictions = 1.5 + 0.125 * torch.randint(-1, 2, labels.shape, generator=generator).double()
    weights = 0.5 + torch.rand(n, *size, generator=generator, dtype=torch.float64)
    gaps = torch.rand(n, 1, *size, generator=generator) < missing
    return Maps(features, labels.masked_fill(gaps, math.nan), predictions, weights)


@pytest.mark.parametrize("case", [case for case in GOLDEN if case["variant"] == "depth"])
def test_the_image_form_reproduces_the_released_numbers(case: dict[str, Any]) -> None:
    features = torch.tensor(case["features"], dtype=torch.float64, requires_grad=True)
    labels, predictions, weights = (
        torch.tensor(case[name], dtype=torch.float64) for name in ("labels", "predictions", "weights")
    )
    hyperparameters = {name: case[name] for name in ("window", "temperature", "distance_scale")}
    regularizer = DenseConR(**hyperparameters, push="linear", reference=True)
    loss = regularizer(features, labels, predictions, weights.squeeze(1))
    loss.backward()
    torch.testing.assert_close(loss.item(), case["loss"], **TOLERANCE[torch.float64])
    expected = torch.tensor(case["grad_features"], dtype=torch.float64)
    torch.testing.assert_close(features.grad, expected, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("push", ["linear", "exp"])
def test_the_image_form_is_conr_on_image_means(push: str, k: int) -> None:
    batch = maps(n=12, k=k)
    window = 0.5  # means of images lie close together
    valid = ~batch.labels.isnan()  # (n, k, h, w)
    columns = [
        [image_means(dense[:, channel], valid[:, channel]) for channel in range(k)]
        for dense in (batch.labels, batch.predictions)
    ]
    labels, predictions = (torch.stack(column, dim=1) for column in columns)
    expected = conr_loss(
        batch.features.flatten(1),
        4 * labels,
        4 * predictions,
        weights=image_means(batch.weights, valid[:, 0]),
        push=push,
        **SETTINGS | {"window": window},
    )
    assert expected > 0
    loss = batch._replace(labels=4 * batch.labels, predictions=4 * batch.predictions).loss(push=push, window=window)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("missing", [0.0, 0.4])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("weight_anchors", [True, False])
def test_the_pixel_form_on_all_pixels_equals_the_oracle_on_gathered_rows(
    k: int, missing: float, *, weight_anchors: bool
) -> None:
    batch = maps(k=k, missing=missing)
    rows: list[tuple[list[float], ...]] = []
    for image in range(4):
        for row in range(4):
            for column in range(6):
                features, labels, predictions = (dense[image, :, row, column].tolist() for dense in batch[:3])
                if not any(math.isnan(label) for label in labels):
                    rows.append((features, labels, predictions, [batch.weights[image, row, column].item()]))
    features, labels, predictions, weights = map(list, zip(*rows, strict=True))
    terms = conr_per_anchor(
        features,
        labels,
        predictions,
        [weight for (weight,) in weights],
        push="linear",
        distance="l2",
        weight_anchors=weight_anchors,
        **SETTINGS,
    )
    assert sum(term != 0 for term in terms) > len(terms) / 3
    loss = batch.loss(reduce="pixel", samples=1000, weight_anchors=weight_anchors)
    torch.testing.assert_close(loss.item(), sum(terms) / len(terms), **TOLERANCE[torch.float64])


def test_sampled_pixels_are_gathered_by_the_seed() -> None:
    batch = maps(missing=0.3)
    torch.manual_seed(5)
    order = torch.rand(batch.weights.shape).flatten()
    valid = ~batch.labels.isnan().flatten()
    chosen = torch.where(valid, order, -1).sort(descending=True).indices[:20]
    assert valid[chosen].all()
    rows = [pixel_rows(dense)[chosen] for dense in batch[:3]]
    expected = conr_loss(rows[0], rows[1], rows[2], weights=batch.weights.flatten()[chosen], push="linear", **SETTINGS)
    assert expected > 0
    torch.manual_seed(5)
    torch.testing.assert_close(batch.loss(reduce="pixel", samples=20), expected, **TOLERANCE[torch.float64])
    assert not torch.equal(batch.loss(reduce="pixel", samples=20), expected)  # the next draw


def test_rows_without_a_label_are_nothing_to_the_engine_for_many_rows() -> None:
    batch = maps(n=4, size=(16, 16), missing=0.3)  # 1,024 rows: more than the dense engine takes on a CPU
    valid = ~batch.labels.isnan().flatten()
    rows = [pixel_rows(dense)[valid] for dense in batch[:3]]
    expected = conr_loss(
        *(rows[0], rows[1], rows[2]), weights=batch.weights.flatten()[valid], push="linear", engine="dense", **SETTINGS
    )
    assert 512 < valid.sum() < 1024
    torch.testing.assert_close(batch.loss(reduce="pixel", samples=1024), expected, **TOLERANCE[torch.float64])


def test_patches_are_means_of_their_valid_pixels() -> None:
    batch = maps(size=(5, 6), missing=0.5)
    rows: list[list[Tensor]] = [[], [], [], []]
    for image in range(4):
        for top in range(0, 4, 2):
            for left in range(0, 6, 2):
                inside = ~batch.labels[image, 0, top : top + 2, left : left + 2].isnan()
                if not inside.any():
                    continue
                for values, dense in zip(rows, (*batch[:3], batch.weights.unsqueeze(1)), strict=True):
                    values.append(dense[image, :, top : top + 2, left : left + 2][:, inside].mean(dim=1))
    features, labels, predictions, weights = (torch.stack(values) for values in rows)
    expected = conr_loss(features, labels, predictions, weights=weights, push="linear", **SETTINGS)
    assert 0 < len(features) < 24
    assert expected > 0
    loss = batch.loss(reduce="pixel", samples=1000, patch=2)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float64])


def test_near_and_far_regions_of_one_image_are_anchors_only_as_pixels() -> None:
    """One image whose left half is near, whose right half is far, and whose prediction is the same everywhere."""
    labels = torch.tensor([1.0, 1.0, 5.0, 5.0]).expand(1, 1, 4, 4)
    features = torch.randn(1, 6, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    predictions = torch.full_like(labels, 3)
    assert dense_conr_loss(features, labels, predictions, **SETTINGS) == 0
    for _ in range(100):
        loss = dense_conr_loss(features, labels, predictions, reduce="pixel", samples=12, **SETTINGS)
        (slope,) = torch.autograd.grad(loss, features)
        features = (features - 3 * slope).detach().requires_grad_()
    unit = torch.nn.functional.normalize(pixel_rows(features.detach()), dim=1)
    near = (pixel_rows(labels) == 1).float()
    cosines = unit @ unit.T
    assert cosines[near == 1][:, near == 1].min() > 0.8
    assert cosines[near == 1][:, near == 0].max() < 0


@pytest.mark.parametrize("reduce", FORMS)
def test_pixels_without_a_label_change_nothing_and_get_no_gradient(reduce: str) -> None:
    batch = maps(n=12, missing=0.4)
    gaps = batch.labels.isnan()  # (n, 1, h, w)
    features = batch.features.requires_grad_()
    torch.manual_seed(0)
    loss = batch.loss(reduce=reduce, samples=50)
    (slope,) = torch.autograd.grad(loss, features)
    other = batch._replace(
        features=features.where(~gaps, 7) if reduce == "pixel" else features,
        predictions=batch.predictions.masked_fill(gaps, math.nan),
        weights=batch.weights.masked_fill(gaps.squeeze(1), math.nan),
    )
    torch.manual_seed(0)
    assert torch.equal(other.loss(reduce=reduce, samples=50), loss)
    if reduce == "pixel":
        assert not slope.where(gaps, 0).any()


@pytest.mark.parametrize("reduce", FORMS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", Maps._fields)
def test_what_is_infinite_or_no_number_is_not_hidden(name: str, bad: float, reduce: str) -> None:
    """At a pixel with a label, of which NaN says that there is none."""
    if name == "labels" and math.isnan(bad):
        return
    batch = maps(missing=0)
    getattr(batch, name)[1].view(-1)[3] = bad
    assert not batch.loss(reduce=reduce, samples=1000).isfinite()


@pytest.mark.parametrize("reduce", FORMS)
@pytest.mark.parametrize("push", ["linear", "exp"])
def test_images_without_any_label_are_left_out(reduce: str, push: str) -> None:
    batch = maps(n=12)
    part = Maps(*(dense[:9] for dense in batch))
    labels = batch.labels.clone()
    labels[9:] = math.nan
    settings = {"reduce": reduce, "samples": 1000, "window": 0.13, "push": push}
    expected = part.loss(**settings)
    assert expected > 0
    torch.testing.assert_close(batch._replace(labels=labels).loss(**settings), expected, **TOLERANCE[torch.float64])


@pytest.mark.parametrize("reduce", FORMS)
@pytest.mark.parametrize(
    "change",
    [
        {"labels": torch.full((4, 1, 4, 6), math.nan)},
        {"labels": torch.ones(4, 1, 4, 6)},
        {"predictions": 100 * torch.arange(96.0).view(4, 1, 4, 6)},
        {"features": torch.zeros(4, 3, 4, 6)},
    ],
    ids=["no labels", "equal labels", "no negatives", "zero features"],
)
def test_never_nan_and_a_zero_keeps_the_graph(reduce: str, change: dict[str, Tensor]) -> None:
    batch = Maps(*(dense.float() for dense in maps()))._replace(**change)
    features = batch.features.clone().requires_grad_()
    loss = batch._replace(features=features).loss(reduce=reduce)
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    if "features" not in change:
        assert loss == 0
        assert not features.grad.any()


@pytest.mark.parametrize(
    "settings", [{"reduce": "image", "window": 0.13}, {"reduce": "pixel", "patch": 2, "window": 0.13}]
)
def test_gradient_equals_finite_differences(settings: dict[str, Any]) -> None:
    batch = maps(n=7, size=(2, 4), d=2)
    features = batch.features.requires_grad_()
    assert batch.loss(**settings) > 0
    assert torch.autograd.gradcheck(lambda z: batch._replace(features=z).loss(**settings, samples=100), features)


@pytest.mark.parametrize("reduce", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision_comes_close(reduce: str, dtype: torch.dtype) -> None:
    batch = maps(n=12, size=(4, 4))
    settings = {"reduce": reduce, "samples": 1000, "window": 0.13}
    expected = batch.loss(**settings)
    loss = batch._replace(features=batch.features.to(dtype)).loss(**settings)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, **TOLERANCE[dtype])


@pytest.mark.parametrize("reduce", FORMS)
def test_autocast_does_not_lower_the_precision(reduce: str) -> None:
    batch = Maps(*(dense.float() for dense in maps(n=12)))
    expected = batch.loss(reduce=reduce, samples=1000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = batch.loss(reduce=reduce, samples=1000)
    torch.testing.assert_close(loss, expected, **TOLERANCE[torch.float32])  # the rows come in another order


@pytest.mark.slow
def test_compiles_to_the_same_value() -> None:
    batch = Maps(*(dense.float() for dense in maps(n=12)))
    module = DenseConR(**SETTINGS, reduce="pixel", samples=1000)
    expected = module(*batch)
    torch.compiler.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)  # a step that reads a value would break it
    torch.testing.assert_close(compiled(*batch), expected, **TOLERANCE[torch.float32])


def test_only_the_sampled_features_are_kept_for_the_backward_pass() -> None:
    batch = Maps(*(dense.float() for dense in maps(n=4, size=(64, 64), d=16)))
    features = batch.features.requires_grad_()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    samples = 64
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = batch.loss(reduce="pixel", samples=samples)
    loss.backward()  # type: ignore[no-untyped-call]
    # Two n x n matrices and some vectors of the contrast, the unit rows, and indices.
    assert sum(kept.values()) < 4 * (3 * samples**2 + 4 * samples * 16) < features.nbytes / 4
    assert features.grad is not None
    assert (features.grad != 0).any(dim=1).sum() <= samples


def test_survives_pickle_and_copy_and_prints_its_settings() -> None:
    batch = maps()
    module = DenseConR(**SETTINGS, reduce="pixel", samples=1000, patch=2)
    expected = module(*batch)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):  # noqa: S301  our own bytes
        torch.testing.assert_close(twin(*batch), expected)
    assert "reduce='pixel', samples=1000, patch=2" in repr(module)


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        ({"features": torch.zeros(4, 3)}, {}, ValueError, r"features: expected shape \(n, k, h, w\), got \(4, 3\)"),
        ({"features": torch.zeros(3, 3, 4, 6)}, {}, ValueError, "labels: expected 3 images like features, got 4"),
        ({"labels": torch.zeros(4, 4, 6)}, {}, ValueError, r"labels: expected shape \(n, k, h, w\), got \(4, 4, 6\)"),
        ({"predictions": torch.zeros(4, 1, 4, 5)}, {}, ValueError, r"predictions: expected shape \(4, c, 4, 6\) like"),
        ({"predictions": torch.zeros(4, 2, 4, 6)}, {}, ValueError, r"predictions: expected shape \(4, 1, 4, 6\) like"),
        ({"weights": torch.zeros(4)}, {}, ValueError, r"weights: expected shape \(4, 4, 6\), got \(4,\)"),
        (
            {"features": torch.zeros(4, 3, 2, 3)},
            {"reduce": "pixel"},
            ValueError,
            r"features: expected maps of \(4, 6\)",
        ),
        ({"features": torch.zeros(4, 3, 4, 6, device="meta")}, {}, ValueError, "labels: expected device meta"),
        ({}, {"reduce": "pixels"}, ValueError, "reduce: expected one of 'image', 'pixel', .* did you mean 'pixel'"),
        ({}, {"reduce": "pixel", "reference": True}, ValueError, "reference: expected reduce 'image', the released"),
        ({}, {"reduce": "pixel", "patch": 5}, ValueError, "patch: expected at most the size of the maps, 4 x 6, got 5"),
        ({}, {"window": 0.0}, ValueError, "window: expected a number above 0, got 0.0"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected(
    change: dict[str, Tensor], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        maps()._replace(**change).loss(**settings)


def test_features_of_another_size_are_welcome_in_the_image_form() -> None:
    batch = maps(n=12)._replace(features=torch.randn(12, 3, 2, 3, dtype=torch.float64))
    assert batch.loss(window=0.13) > 0


@pytest.mark.parametrize(
    "change", [{"window": 0.0}, {"temperature": 0.0}, {"push": "no"}, {"reduce": "no"}, {"samples": 0}, {"patch": 0}]
)
def test_the_module_checks_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DenseConR(**{"window": 1.0} | change)
