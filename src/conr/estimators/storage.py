"""Saved estimators: a JSON file that says what the model is, and a safetensors file with its arrays."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

import conr
from conr.density import Bins, ConRSettings, LabelDensity
from conr.estimators.network import TableNetwork, in_batches
from conr.estimators.regressor import ConRRegressor
from conr.estimators.support import chosen_device
from conr.methods.objective import LabelScale, head_maker
from conr.models.table_encoder import Layout
from conr.runs.atomic import write_whole
from conr.tables.columns import InputColumns
from conr.tables.inputs import InputEncoding, check_categorical, number_columns

MODEL = "model.json"
WEIGHTS = "weights.safetensors"

_FORMAT = "conr.ConRRegressor"
_VERSION = 1
_MOST_JSON_BYTES = 64 * 2**20
_KEYS = {
    "format", "version", "conr", "weights_sha256", "settings", "n_features", "feature_names", "n_outputs", "is_flat",
    "embedded", "plain", "encoding", "conr_settings", "history", "best_epoch",
}  # fmt: skip


# What numbers and names that do not fit together come to, in this package and those below it.
_BREAKS = (
    SafetensorError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)

Model = TypeVar("Model", bound=ConRRegressor)


def save_model(model: ConRRegressor, folder: Path) -> Path:
    """Write a fitted estimator into a folder; see `ConRRegressor.save`."""
    settings = {name: _plain(name, value) for name, value in model.get_params(deep=False).items()}
    # Trained in float32, so that nothing is lost.
    tensors = {
        f"network.{name}": value.float() if value.is_floating_point() else value
        for name, value in model.network_.state_dict().items()
    }
    tensors |= {f"edges.{position}": edges for position, edges in enumerate(model.network_.encoder.layout.edges)}
    tensors |= {f"bins.{position}": edges for position, edges in enumerate(model.bins_.edges)}
    tensors["counts"] = model.density_.counts
    tensors["label_mean"], tensors["label_deviation"] = model._scale
    if hasattr(model.network_.head, "fit"):
        tensors["targets"] = model._targets
    if model.encoding_ is not None:
        tensors |= {f"encoding.{name}": torch.from_numpy(value) for name, value in model.encoding_.arrays.items()}
    content = tensor_bytes({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    names = getattr(model, "feature_names_in_", None)
    description = {
        "format": _FORMAT,
        "version": _VERSION,
        "conr": conr.__version__,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "settings": settings,
        "n_features": model.n_features_in_,
        "feature_names": None if names is None else [str(name) for name in names],
        "n_outputs": model.n_outputs_,
        "is_flat": model._is_flat,
        "embedded": model.network_.encoder.layout.embedded,
        "plain": model.network_.encoder.layout.plain,
        "encoding": None if model.encoding_ is None else model.encoding_.state(),
        "conr_settings": model.settings_._asdict(),
        "history": model.history_,
        "best_epoch": model.best_epoch_,
    }
    text = json.dumps(description, indent=1)
    folder.mkdir(parents=True, exist_ok=True)
    # In this order a model that is cut off in between does not fit its weights, and is refused.
    write_whole(folder / WEIGHTS, lambda file: file.write(content))
    write_whole(folder / MODEL, lambda file: file.write(text.encode()))
    return folder


def load_model(cls: type[Model], folder: Path, *, device: str) -> Model:
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
        tensors = load_tensors(content)
        return _restored(cls, description, tensors, device)
    except _BREAKS as error:
        text = " ".join(f"{error}".split())
        raise ValueError(
            f"{folder}: expected a model that ConRRegressor.save wrote, got one that breaks: {text:.400}"
        ) from error


def _description(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise ValueError(f"{path}: expected at most {_MOST_JSON_BYTES} bytes, got {path.stat().st_size}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path}: expected JSON, got a file that breaks: {error}") from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ValueError(f"{path}: expected a model of format {_FORMAT!r}, got something else")
    if description.get("version") != _VERSION:
        raise ValueError(
            f"{path}: expected version {_VERSION} of the format, got {description.get('version')!r} "
            f"(written by conr {description.get('conr')!r}, read by {conr.__version__})"
        )
    if set(description) != _KEYS:
        raise ValueError(
            f"{path}: expected the keys of a model, missing or unknown are {sorted(set(description) ^ _KEYS)}"
        )
    return description


def _encoding(model: ConRRegressor, state: Any, tensors: dict[str, Tensor]) -> InputEncoding | None:
    if bool(model.preprocess) != (state is not None):
        raise ValueError(f"preprocess: expected what the encoding says, got {model.preprocess!r}")
    arrays = {name: value.double().numpy() for name, value in _below(tensors, "encoding.").items()}
    return None if state is None else InputEncoding.from_state(state, arrays)


def _restored(cls: type[Model], description: Mapping[str, Any], tensors: dict[str, Tensor], device: str) -> Model:
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise ValueError(f"{name}: expected finite numbers")
    model = cls(**description["settings"])
    model._check_settings()
    model.n_features_in_ = _whole(description, "n_features", 1)
    model.n_outputs_ = _whole(description, "n_outputs", 1)
    model._is_flat = description["is_flat"]
    names = description["feature_names"]
    if names is not None:
        if len(names) != model.n_features_in_ or not all(isinstance(name, str) for name in names):
            raise ValueError(f"feature_names: expected {model.n_features_in_} texts")
        model.feature_names_in_ = np.array(names, dtype=object)
    model.encoding_ = _encoding(model, description["encoding"], tensors)
    model.bins_ = Bins([edges.tolist() for edges in _numbered(tensors, "bins.")], clamp=True)
    model.density_ = LabelDensity(many=model.many, few=model.few).fit_counts(tensors["counts"], model.bins_)
    scale = LabelScale(tensors["label_mean"].double(), tensors["label_deviation"].double())
    if any(value.shape != (model.n_outputs_,) for value in scale):
        raise ValueError(f"label_mean: expected {model.n_outputs_} numbers, got {tuple(scale.mean.shape)}")
    model._scale = scale
    if model.bins_.dimensions != model.n_outputs_:
        raise ValueError(f"bins: expected those of {model.n_outputs_} outputs, got {model.bins_.dimensions}")
    if not isinstance(model._is_flat, bool) or (model._is_flat and model.n_outputs_ > 1):
        raise ValueError(f"is_flat: expected false, or true for one output, got {model._is_flat!r:.80}")
    check_categorical(model.categorical)
    model.settings_ = ConRSettings(**description["conr_settings"])
    model.history_ = _history(description["history"])
    model.best_epoch_ = _whole(description, "best_epoch", 1)
    if model.best_epoch_ > len(model.history_):
        raise ValueError(f"best_epoch: expected one of {len(model.history_)}, got {model.best_epoch_}")
    model.device_ = chosen_device(device)
    layout = Layout(
        _positions(description["embedded"]), _positions(description["plain"]), list(_numbered(tensors, "edges."))
    )
    if "targets" in tensors:
        model._targets = tensors["targets"]
    model.network_ = _network(model, layout, tensors)
    _try_out(model)
    return model


def _try_out(model: ConRRegressor) -> None:
    """Predict a row without values: parts that do not fit together are found now and not in the first prediction."""
    names = model._names()
    if model.encoding_ is None:
        columns = number_columns(np.zeros((1, model.n_features_in_)), names)
    else:
        kinds = model.encoding_.kinds
        if sorted((*kinds.numbers, *kinds.categories)) != sorted(names):
            raise ValueError(f"encoding: expected the columns {names!r:.200}, got {kinds!r:.200}")
        missing = np.array([None], dtype=object)
        columns = InputColumns(
            {name: np.array([np.nan]) for name in kinds.numbers}, dict.fromkeys(kinds.categories, missing), {}
        )
    inputs = model._inputs(columns).to(model.device_, torch.float64)  # (1, columns)
    features, predictions = in_batches(model.network_, inputs)
    if features.shape != (1, model.width) or predictions.numel() != model.n_outputs_:
        raise ValueError(
            f"network: expected {model.width} features and {model.n_outputs_} predictions of a row, got "
            f"{features.numel()} and {predictions.numel()}"
        )


def _history(values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, list):
        raise TypeError(f"history: expected a list of epochs, got {values!r:.80}")
    for one in values:
        if not isinstance(one, dict) or not {"epoch", "loss"} <= one.keys():
            raise ValueError(f"history: expected epoch and loss by name, got {one!r:.80}")
        if not all(value is None or type(value) in (int, float) for value in one.values()):
            raise ValueError(f"history: expected numbers, got {one!r:.80}")
    return values


def _network(model: ConRRegressor, layout: Layout, tensors: Mapping[str, Tensor]) -> TableNetwork:
    weights = _below(tensors, "network.")
    known = sum(value.numel() for value in weights.values())
    # Before anything is made of sizes that a file claims.
    wanted = [_whole(model.get_params(), name, 1) for name in ("members", "width", "depth")]
    members, width, depth = wanted
    if width * width * (depth - 1) + width * members > known:
        raise ValueError(f"weights: expected those of {depth} layers of {width}, got {known} numbers")
    make = head_maker(
        model.method,
        tensors.get("targets", torch.zeros(1, model.n_outputs_)),
        model._scale.bins(model.bins_),
    )
    network = TableNetwork(model._encoder().build(layout), make(width))
    network.load_state_dict(weights)
    return network.to(model.device_).double().eval()


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(name, one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: expected a number, a text or a list of these to save, got {type(value).__name__}")


def _whole(values: Mapping[str, Any], name: str, low: int) -> int:
    value = values[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected a whole number of at least {low}, got {value!r}")
    return value


def _positions(values: Any) -> list[int]:
    if not isinstance(values, list) or not all(isinstance(value, int) and value >= 0 for value in values):
        raise ValueError(f"columns: expected a list of positions, got {values!r:.80}")
    return values


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    found = {int(name): value for name, value in _below(tensors, prefix).items() if re.fullmatch(r"\d{1,9}", name)}
    return [found[position] for position in range(len(found))]
