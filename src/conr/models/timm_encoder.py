"""Encoders of the timm library by name."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr._extras import require
from conr.models.small import check_images


class TimmEncoder(nn.Module):
    """An image network of timm without its classifier: images to the pooled features that the classifier would see.

    Nothing is ever downloaded: weights come from a file of yours, or training starts from scratch.

    Args:
        name: as timm calls the network, such as ``"resnet50"``.
        in_channels: channels of the images.
        pretrained_path: file of the network's weights: safetensors, or a dictionary of tensors that torch saved (it is
            loaded without running code). A classifier in it is left out; everything else must fit.
        options: further arguments of ``timm.create_model``, such as ``{"drop_path_rate": 0.1}``.

    Raises:
        ImportError: timm is not installed.
        FileNotFoundError: no file of weights.
        ValueError: an unknown network; an option that it does not take; weights that are broken or do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int = 3,
        pretrained_path: str | Path | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        require("conr.models.TimmEncoder", "timm")
        import timm  # noqa: PLC0415  optional

        check_number("in_channels", in_channels, low=1)
        check_network("name", name)
        try:
            network: Any = timm.create_model(
                name, pretrained=False, num_classes=0, in_chans=in_channels, **(options or {})
            )
        except TypeError as error:
            raise ValueError(f"options: expected arguments that {name} takes, got {options}: {error}") from error
        self.network = network
        self.name = name
        self.in_channels = in_channels
        # Some networks have a layer between pooling and classifier, whose width is not num_features.
        self.out_features: int = getattr(network, "head_hidden_size", None) or network.num_features
        if pretrained_path is not None:
            self._load(Path(pretrained_path))

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, out_features) of images (n, in_channels, height, width)."""
        check_images("images", images, self.in_channels)
        features: Tensor = self.network(images)
        return features

    def _load(self, path: Path) -> None:
        weights = _read_weights(path)
        classifiers = cast("dict[str, Any]", self.network.pretrained_cfg).get("classifier") or ()
        for classifier in (classifiers,) if isinstance(classifiers, str) else classifiers:
            weights = {key: value for key, value in weights.items() if not key.startswith(f"{classifier}.")}
        expected = self.network.state_dict()
        fitting = {
            key: value for key, value in weights.items() if value.shape == getattr(expected.get(key), "shape", None)
        }
        result = self.network.load_state_dict(fitting, strict=False)
        surplus = [key for key in weights if key not in fitting]
        if result.missing_keys or surplus:
            found = [
                f"{len(keys)} {kind} (as {keys[0]!r})"
                for kind, keys in (("missing", result.missing_keys), ("that do not fit", surplus))
                if keys
            ]
            raise ValueError(
                f"pretrained_path: expected weights of {self.name} with {self.in_channels} channels in {path}, "
                f"got {' and '.join(found)}"
            )


def check_network(argument: str, name: str) -> None:
    """Require the name of a network that timm has; a name such as hf-hub:... would make it download."""
    import timm  # noqa: PLC0415  optional

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument}: expected a network that timm {timm.__version__} knows, got {name!r}{hint}")


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"pretrained_path: expected a file of weights, found none at {path}")
    from safetensors import SafetensorError  # noqa: PLC0415  optional, comes with timm
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        is_safe = path.suffix == ".safetensors"
        content = load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise ValueError(f"pretrained_path: expected tensors in {path}, got a broken file or other objects") from error
    for wrapper in ("state_dict", "model"):
        content = content.get(wrapper, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"pretrained_path: expected a dictionary of tensors in {path}, got {type(content).__name__}")
    return content
