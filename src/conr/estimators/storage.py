"""Saved estimators: a JSON file that says what the model is, and a safetensors file with its arrays."""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

import conr
from conr._auto import AUTO
from conr.density import Bins, ConRSettings, LabelDensity
from conr.estimators.network import TableNetwork, in_batches, table_encoder
from conr.estimators.sealing import BREAKS, broken_model, read_sealed, write_sealed
from conr.methods.objective import head_maker
from conr.methods.scale import LabelScale
from conr.models.table_encoder import Layout
from conr.runs.atomic import write_whole
from conr.runs.reading import read_json, without_nan
from conr.runs.schema import check
from conr.tables.columns import Columns
from conr.tables.encoding import Encoding
from conr.tables.frames import check_categorical

MODEL = "model.json"
WEIGHTS = "weights.safetensors"

_FORMAT = "conr.ConRRegressor"
_VERSION = 2
_POSITION = range(2**31)
_COUNT = range(1, 2**31)
_KIND = {
    "format": _FORMAT,
    "version": _VERSION,
    "conr": str,
    "weights_sha256": str,
    "settings": {"members?": _COUNT, "width?": _COUNT, "depth?": _COUNT, ...: object},
    "n_features": _COUNT,
    "feature_names": (None, [str]),
    "n_outputs": _COUNT,
    "is_flat": bool,
    "embedded": [_POSITION],
    "plain": [_POSITION],
    "encoding": (None, dict),
    "conr_settings": dict,
    "history": [{"epoch": float, "loss": (float, None), ...: (float, None)}],
    "best_epoch": _COUNT,
    "method?": str,
    "search?": [{"round": _COUNT, "method": str, "epochs": _COUNT, "bmae": (float, None)}],
}


class ModelState(NamedTuple):
    """A fitted estimator without its arguments; attributes are those of `conr.estimators.ConRRegressor`."""

    n_features: int
    feature_names: NDArray[Any] | None
    is_flat: bool
    encoding: Encoding | None
    bins: Bins
    density: LabelDensity
    scale: LabelScale
    conr_settings: ConRSettings
    network: TableNetwork
    targets: Tensor  # standardised training labels (n, k), from which some heads are made again
    history: list[dict[str, Any]]
    best_epoch: int
    method: str
    search: list[dict[str, Any]]

    @classmethod
    def of(cls, model: Any) -> Self:
        """The state of a fitted estimator."""
        found: dict[str, Any] = {name: getattr(model, own, None) for name, own in _ATTRIBUTES.items()}
        return cls(**found)

    def give(self, model: Any, device: torch.device) -> None:
        """Make an estimator the fitted one, with its network on a device."""
        for name, own in _ATTRIBUTES.items():
            if name != "feature_names" or self.feature_names is not None:
                setattr(model, own, getattr(self, name))
        model.n_outputs_, model.device_ = len(self.scale.mean), device


_ATTRIBUTES = {
    "n_features": "n_features_in_",
    "feature_names": "feature_names_in_",
    "is_flat": "_is_flat",
    "encoding": "encoding_",
    "bins": "bins_",
    "density": "density_",
    "scale": "_scale",
    "conr_settings": "settings_",
    "network": "network_",
    "targets": "_targets",
    "history": "history_",
    "best_epoch": "best_epoch_",
    "method": "method_",
    "search": "search_",
}


class Storable(Protocol):
    """Estimator that takes over a state, as `load_model` makes it."""

    def __init__(self, **settings: Any) -> None: ...

    def get_params(self, deep: bool = ...) -> dict[str, Any]:
        """The arguments by name."""
        ...

    def _check_settings(self) -> None: ...


Model = TypeVar("Model", bound=Storable)


def save_model(settings: Mapping[str, Any], state: ModelState, folder: Path) -> Path:
    """Write a fitted estimator into a folder; see `ConRRegressor.save`.

    Args:
        settings: the estimator's arguments.
        state: what it has learnt.
        folder: made if it is not there.
    """
    plain = {name: plain_setting(name, value) for name, value in settings.items()}
    # Trained in float32, so that nothing is lost.
    tensors = {
        f"network.{name}": value.float() if value.is_floating_point() else value
        for name, value in state.network.state_dict().items()
    }
    layout = state.network.encoder.layout
    assert layout is not None  # noqa: S101  a fitted network has one
    tensors |= {f"edges.{position}": edges for position, edges in enumerate(layout.edges)}
    tensors |= {f"bins.{position}": edges for position, edges in enumerate(state.bins.edges)}
    tensors["counts"] = state.density.counts
    tensors["label_mean"], tensors["label_deviation"] = state.scale
    if hasattr(state.network.head, "fit"):
        tensors["targets"] = state.targets
    if state.encoding is not None:
        tensors |= {f"encoding.{name}": torch.from_numpy(value) for name, value in state.encoding.arrays.items()}
    content = tensor_bytes({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    description = {
        "format": _FORMAT,
        "version": _VERSION,
        "conr": conr.__version__,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "settings": plain,
        "n_features": state.n_features,
        "feature_names": None if state.feature_names is None else [str(name) for name in state.feature_names],
        "n_outputs": len(state.scale.mean),
        "is_flat": state.is_flat,
        "embedded": layout.embedded,
        "plain": layout.plain,
        "encoding": None if state.encoding is None else state.encoding.state(),
        "conr_settings": state.conr_settings._asdict(),
        "history": without_nan(state.history),
        "best_epoch": state.best_epoch,
        "method": state.method,
        "search": without_nan(state.search),
    }
    folder.mkdir(parents=True, exist_ok=True)
    # In this order a model that is cut off in between does not fit its weights, and is refused.
    write_whole(folder / WEIGHTS, lambda file: file.write(content))
    write_sealed(folder / MODEL, description)
    return folder


def load_model(make: type[Model], folder: Path, *, device: torch.device) -> Model:
    """Read what `save_model` wrote; see `ConRRegressor.load`."""
    for name in (MODEL, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"expected a model that ConRRegressor.save wrote, found no file {folder / name}")
    description = _description(folder / MODEL)
    content = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
        raise ValueError(
            f"{folder / WEIGHTS}: expected the file that {MODEL} was saved with, got a truncated or another one"
        )
    try:
        model = make(**description["settings"])
        model._check_settings()
        state = _state(model.get_params(deep=False), description, load_tensors(content))
        state.network.to(device)
        _try_out(state, device)
    except BREAKS as error:
        raise broken_model(folder, "ConRRegressor.save", error) from error
    state.give(model, device)
    return model


def _description(path: Path) -> dict[str, Any]:
    description: dict[str, Any] = read_json(path)
    check(path, description, {"format": _FORMAT, "version": object, ...: object})
    if description["version"] != _VERSION:
        raise ValueError(
            f"{path}: expected version {_VERSION} of the format, got {description['version']!r} "
            f"(written by conr {description.get('conr')!r}, read by {conr.__version__}): fit the model anew"
        )
    return read_sealed(path, _KIND)


def _state(settings: Mapping[str, Any], description: Mapping[str, Any], tensors: dict[str, Tensor]) -> ModelState:
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise ValueError(f"{name}: expected finite numbers")
    check_categorical(settings["categorical"])
    n_features, n_outputs = description["n_features"], description["n_outputs"]
    names, is_flat = description["feature_names"], description["is_flat"]
    if names is not None and len(names) != n_features:
        raise ValueError(f"feature_names: expected {n_features} texts")
    if is_flat and n_outputs > 1:
        raise ValueError(f"is_flat: expected false for {n_outputs} outputs, got true")
    scale = LabelScale(tensors["label_mean"].double(), tensors["label_deviation"].double())
    if any(value.shape != (n_outputs,) for value in scale):
        raise ValueError(f"label_mean: expected {n_outputs} numbers, got {tuple(scale.mean.shape)}")
    bins = Bins([edges.tolist() for edges in _numbered(tensors, "bins.")], clamp=True)
    if bins.dimensions != n_outputs:
        raise ValueError(f"bins: expected those of {n_outputs} outputs, got {bins.dimensions}")
    history, best_epoch = description["history"], description["best_epoch"]
    if best_epoch > len(history):
        raise ValueError(f"best_epoch: expected one of {len(history)}, got {best_epoch}")
    method = description.get("method", AUTO) if settings["method"] == AUTO else settings["method"]
    targets = tensors.get("targets", torch.zeros(1, n_outputs))
    layout = Layout(description["embedded"], description["plain"], list(_numbered(tensors, "edges.")))
    return ModelState(
        n_features=n_features,
        feature_names=None if names is None else np.array(names, dtype=object),
        is_flat=is_flat,
        encoding=_encoding(settings, description["encoding"], tensors),
        bins=bins,
        density=LabelDensity(many=settings["many"], few=settings["few"]).fit_counts(tensors["counts"], bins),
        scale=scale,
        conr_settings=ConRSettings(**description["conr_settings"]),
        network=_network({**settings, "method": method}, layout, tensors, targets, scale.bins(bins)),
        targets=targets,
        history=history,
        best_epoch=best_epoch,
        method=method,
        search=[
            {name: math.inf if value is None else value for name, value in one.items()}
            for one in description.get("search", [])
        ],
    )


def _encoding(settings: Mapping[str, Any], state: Any, tensors: dict[str, Tensor]) -> Encoding | None:
    if bool(settings["preprocess"]) != (state is not None):
        raise ValueError(f"preprocess: expected what the encoding says, got {settings['preprocess']!r}")
    arrays = {name: value.double().numpy() for name, value in _below(tensors, "encoding.").items()}
    return None if state is None else Encoding.from_state(state, arrays)


def _try_out(state: ModelState, device: torch.device) -> None:
    """Predict a row without values: parts that do not fit together are found now and not in the first prediction."""
    inputs = torch.zeros(1, state.n_features)
    if state.encoding is not None:
        kinds = state.encoding.kinds
        given = [f"x{position}" for position in range(state.n_features)]
        names = given if state.feature_names is None else state.feature_names.tolist()
        if list(kinds) != names:
            raise ValueError(f"encoding: expected the columns {names!r:.200}, got {list(kinds)!r:.200}")
        none = {"number": np.array([np.nan]), "date": np.array(["NaT"], dtype="datetime64[s]")}
        values = {name: none.get(kind.name, np.array([None], dtype=object)) for name, kind in kinds.items()}
        inputs = torch.from_numpy(state.encoding.transform(Columns(values, np.zeros(1, dtype=np.int64))))
    width, outputs = state.network.encoder.out_features, len(state.scale.mean)
    features, predictions = in_batches(state.network, inputs.to(device, torch.float64))
    if features.shape != (1, width) or predictions.numel() != outputs:
        raise ValueError(
            f"network: expected {width} features and {outputs} predictions of a row, got "
            f"{features.numel()} and {predictions.numel()}"
        )


def _network(
    settings: Mapping[str, Any], layout: Layout, tensors: Mapping[str, Tensor], targets: Tensor, bins: Bins
) -> TableNetwork:
    weights = _below(tensors, "network.")
    known = sum(value.numel() for value in weights.values())
    # Before anything is made of sizes that a file claims.
    members, width, depth = (settings[name] for name in ("members", "width", "depth"))
    if width * width * (depth - 1) + width * members > known:
        raise ValueError(f"weights: expected those of {depth} layers of {width}, got {known} numbers")
    make_head = head_maker(settings["method"], targets, bins)
    network = TableNetwork(table_encoder(settings).build(layout), make_head(width))
    network.load_state_dict(weights)
    return network.double().eval()


def plain_setting(name: str, value: Any) -> Any:
    """An argument as JSON holds it.

    Raises:
        TypeError: it cannot.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [plain_setting(name, one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: expected a number, a text or a list of these to save, got {type(value).__name__}")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    found = {int(name): value for name, value in _below(tensors, prefix).items() if re.fullmatch(r"\d{1,9}", name)}
    return [found[position] for position in range(len(found))]
