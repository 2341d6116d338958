import pytest
import torch
from torch import Tensor

from conr.data import GazeViews, make_views


def _eyes(n: int, gray: float = 0.5) -> dict[str, Tensor]:
    pose = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return {"image": torch.full((n, 1, 36, 60), gray), "pose": pose}


def test_only_the_image_changes() -> None:
    torch.manual_seed(0)
    inputs = {**_eyes(4), "more": torch.arange(4)}
    before = {name: value.clone() for name, value in inputs.items()}
    view = GazeViews()(inputs)
    assert list(view) == ["image", "pose", "more"]
    assert torch.equal(view["pose"], before["pose"])
    assert torch.equal(view["more"], before["more"])
    assert view["image"].shape == before["image"].shape
    assert not torch.equal(view["image"], before["image"])
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)


def test_brightness_is_one_uniform_number_per_image() -> None:
    torch.manual_seed(0)
    changes = GazeViews(shift=0, brightness=0.2, noise=0)(_eyes(4000))["image"] - 0.5
    assert (changes == changes[:, :, :1, :1]).all()
    each = changes[:, 0, 0, 0]
    assert each.abs().max().item() == pytest.approx(0.2, rel=0.01)
    assert each.mean().item() == pytest.approx(0, abs=5 * 0.2 / (3 * 4000) ** 0.5)
    assert each.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.05)


def test_noise_has_the_wanted_deviation() -> None:
    torch.manual_seed(0)
    changes = GazeViews(shift=0, brightness=0, noise=0.05)(_eyes(50))["image"] - 0.5
    assert changes.std().item() == pytest.approx(0.05, rel=0.02)


def test_an_eye_is_shifted_but_never_mirrored() -> None:
    torch.manual_seed(0)
    image = torch.zeros(36, 60)
    image[18, 30], image[18, 33] = 1.0, 2.0  # mirrored, the brighter pixel would be left of the other
    shifted = GazeViews(shift=2, brightness=0, noise=0)({"image": image.expand(300, 1, 36, 60)})["image"]
    seen = set()
    for one in shifted[:, 0]:
        (row, column), (second_row, second_column) = (one == 1).nonzero()[0].tolist(), (one == 2).nonzero()[0].tolist()
        assert (second_row, second_column) == (row, column + 3)
        seen.add((row - 18, column - 30))
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_two_views_of_a_batch_share_labels_and_poses() -> None:
    torch.manual_seed(0)
    inputs, labels = _eyes(3), torch.arange(6.0).view(3, 2)
    views = make_views(inputs, labels, GazeViews(), "two")
    assert torch.equal(views.inputs["pose"], inputs["pose"].repeat(2, 1))
    assert torch.equal(views.labels, labels.repeat(2, 1))
    assert not torch.equal(views.inputs["image"][:3], views.inputs["image"][3:])


def test_views_are_made_on_the_device_of_the_batch_without_looking_at_values() -> None:
    inputs = {"image": torch.empty(4, 1, 36, 60, device="meta"), "pose": torch.empty(4, 2, device="meta")}
    assert GazeViews()(inputs)["image"].device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_type_of_images_stays(dtype: torch.dtype) -> None:
    assert GazeViews()({"image": torch.rand(2, 1, 36, 60).to(dtype)})["image"].dtype is dtype


def test_wrong_inputs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="inputs: expected several by name, one of them 'image', got Tensor"):
        GazeViews()(torch.zeros(2, 1, 36, 60))
    with pytest.raises(ValueError, match="inputs: expected several by name, one of them 'image', got pose"):
        GazeViews()({"pose": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match=r"images: expected shape \(n, channels, height, width\), got \(2, 36, 60\)"):
        GazeViews()({"image": torch.zeros(2, 36, 60)})
    for setting in ("shift", "brightness", "noise"):
        with pytest.raises(ValueError, match=f"{setting}: expected a number of at least 0, got -1"):
            GazeViews(**{setting: -1})
