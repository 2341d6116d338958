"""Saved blends: JSON and safetensors for what is ours, skops for models of scikit-learn."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensor_bytes
from sklearn.base import clone

import conr
from conr._extras import require
from conr._hints import option
from conr.density import Bins, LabelDensity
from conr.estimators.leaderboard import ERRORS, Frontier
from conr.estimators.regressor import ConRRegressor
from conr.estimators.sealing import BREAKS, broken_model, read_sealed, write_sealed
from conr.estimators.storage import MODEL, WEIGHTS, plain_setting
from conr.rare.maps import MAPS, Correction
from conr.runs.atomic import write_whole
from conr.runs.reading import without_nan
from conr.tables.encoding import Encoding

FORMAT = "conr.RareRegressor"
ALL_ROWS = ">all"
"""Ending of a candidate's name for its model of all rows."""

_VERSION = 2
_SKOPS, _CONR = "skops", "conr"
_NUMBER = (float, None)
_COUNT = range(1, 2**31)
_KIND = {
    "format": FORMAT,
    "version": _VERSION,
    "conr": str,
    "weights_sha256": str,
    "settings": dict,
    "n_features": (None, _COUNT),
    "feature_names": (None, [str]),
    "encoding": (None, dict),
    "models": [{"name": str, "kind": (_SKOPS, _CONR), "sha256": [str]}],
    "blend": [{"candidate": str, "map": MAPS, "weight": float}],
    "leaderboard": [{"name": str, **dict.fromkeys(ERRORS, _NUMBER), "weight": float, "seconds": float}],
    "tradeoff": {"limit": [_NUMBER], **{name: [_NUMBER] for name in ERRORS}, "chosen": range(2**31)},
    "unfinished": [str],
}

_TRUSTED = (
    "collections.OrderedDict",
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
    "conr.estimators.encoded.EncodedRegressor",
    "conr.tables.columns.Kind",
    "conr.tables.encoding.Encoding",
    "conr.tables.numbers.Writing",
)


class BlendPart(NamedTuple):
    """A candidate in a blend.

    Attributes:
        candidate: name of the models whose mean is corrected.
        correction: of that mean.
        weight: in the blend.
    """

    candidate: str
    correction: Correction
    weight: float


def save_rare(model: Any, folder: Path) -> Path:
    """Write a fitted `RareRegressor` into a folder; see there."""
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for position, (name, fitted) in enumerate(model.estimators_.items()):
        kind = _CONR if all(isinstance(one, ConRRegressor) for one in fitted) else _SKOPS
        digests = [_save_one(one, _place(folder, position, fold, kind)) for fold, one in enumerate(fitted)]
        models.append({"name": name, "kind": kind, "sha256": digests})
    tensors = {f"bins.{position}": edges for position, edges in enumerate(model.bins_.edges)}
    tensors |= {"counts": model.density_.counts, "labels": _tensor(model.labels_), "held_out": _tensor(model.held_out_)}
    for position, part in enumerate(model.blend_):
        tensors |= {f"places.{position}": _tensor(part.correction.places)}
        tensors |= {f"values.{position}": _tensor(part.correction.values)}
    if model.encoding_ is not None:
        tensors |= {f"encoding.{name}": _tensor(value) for name, value in model.encoding_.arrays.items()}
    # Two parts may have one correction, and no two tensors of a file may share memory.
    content = tensor_bytes({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()})
    settings = model.get_params(deep=False) | {"bins": None}
    if not isinstance(settings["candidates"], str):
        settings["candidates"] = None
    names = getattr(model, "feature_names_in_", None)
    description = {
        "format": FORMAT,
        "version": _VERSION,
        "conr": conr.__version__,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "settings": {name: plain_setting(name, value) for name, value in settings.items()},
        "n_features": getattr(model, "n_features_in_", None),
        "feature_names": None if names is None else [str(name) for name in names],
        "encoding": None if model.encoding_ is None else model.encoding_.state(),
        "models": models,
        "blend": [
            {"candidate": part.candidate, "map": part.correction.kind, "weight": part.weight} for part in model.blend_
        ],
        "leaderboard": without_nan(model.leaderboard_),
        "tradeoff": without_nan(model.tradeoff_._asdict()),
        "unfinished": model.unfinished_,
    }
    write_whole(folder / WEIGHTS, lambda file: file.write(content))
    write_sealed(folder / MODEL, description)
    return folder


def load_rare(make: Any, folder: Path, *, trusted: Sequence[str]) -> Any:
    """Read what `save_rare` wrote; see `RareRegressor.load`."""
    for name in (MODEL, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"expected a model that RareRegressor.save wrote, found no file {folder / name}")
    description = read_sealed(folder / MODEL, _KIND)
    content = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(content).hexdigest() != description["weights_sha256"]:
        raise ValueError(f"{folder / WEIGHTS}: expected the file that {MODEL} was saved with, got another one")
    models = {
        one["name"]: [
            _load_one(_place(folder, position, fold, one["kind"]), digest, trusted)
            for fold, digest in enumerate(one["sha256"])
        ]
        for position, one in enumerate(description["models"])
    }
    try:
        return _filled(make, description, load_tensors(content), models)
    except BREAKS as error:
        raise broken_model(folder, "RareRegressor.save", error) from error


def _filled(make: Any, description: dict[str, Any], tensors: dict[str, torch.Tensor], models: dict[str, Any]) -> Any:
    settings = description["settings"]
    if settings["candidates"] is None:  # those that the blend has; the others are not kept
        settings["candidates"] = {
            name: clone(fitted[0]) for name, fitted in models.items() if not name.endswith(ALL_ROWS)
        }
    for name, values in tensors.items():
        if not values.isfinite().all():
            raise ValueError(f"{name}: expected finite numbers")
    model = make(**settings)
    model._check_settings()
    model.n_outputs_ = 1
    if description["n_features"] is not None:
        model.n_features_in_ = description["n_features"]
    if description["feature_names"] is not None:
        model.feature_names_in_ = np.array(description["feature_names"], dtype=object)
    arrays = {
        name.removeprefix("encoding."): one.numpy() for name, one in tensors.items() if name.startswith("encoding.")
    }
    state = description["encoding"]
    model.encoding_ = None if state is None else Encoding.from_state(state, arrays)
    model.bins_ = Bins(tensors["bins.0"].tolist(), clamp=True)
    model.density_ = LabelDensity(many=model.many, few=model.few).fit_counts(tensors["counts"], model.bins_)
    model.labels_, model.held_out_ = tensors["labels"].numpy(), tensors["held_out"].numpy()
    model.estimators_ = models
    model.blend_ = []
    for position, part in enumerate(description["blend"]):
        if part["candidate"] not in models:
            raise ValueError(f"blend: expected one of {list(models)}, got {part['candidate']!r}")
        places, curve = (tensors[f"{name}.{position}"].numpy() for name in ("places", "values"))
        model.blend_.append(BlendPart(part["candidate"], Correction(part["map"], places, curve), part["weight"]))
    model.leaderboard_ = [
        {name: np.nan if value is None else value for name, value in row.items()} for row in description["leaderboard"]
    ]
    columns = description["tradeoff"]
    errors = {name: [np.nan if one is None else one for one in columns[name]] for name in ERRORS}
    model.tradeoff_ = Frontier(limit=columns["limit"], **errors, chosen=columns["chosen"])
    model.unfinished_ = description["unfinished"]
    return model


def _place(folder: Path, position: int, fold: int, kind: str) -> Path:
    """Place of the model of a fold of a candidate: a folder of our own format, or a file of skops."""
    return folder / f"candidate-{position}" / (f"fold-{fold}" if kind == _CONR else f"fold-{fold}.skops")


def _save_one(model: Any, place: Path) -> str:
    if isinstance(model, ConRRegressor):
        model.save(place)
        return _digest(place / MODEL)
    require("RareRegressor.save", "skops")
    from skops.io import dumps, get_untrusted_types, loads  # noqa: PLC0415  an optional package

    try:
        content = dumps(model, compression=zipfile.ZIP_DEFLATED)
        loads(content, trusted=get_untrusted_types(data=content))  # some of what it writes it cannot read
    except Exception as error:
        raise TypeError(
            f"expected a model that skops can store, got {type(model).__name__} ({error}): joblib.dump stores any, for "
            "files that you trust"
        ) from error
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, lambda file: file.write(content))
    return hashlib.sha256(content).hexdigest()


def _load_one(place: Path, digest: str, trusted: Sequence[str]) -> Any:
    file = place if place.suffix else place / MODEL
    if not file.is_file():
        raise FileNotFoundError(f"expected a model that RareRegressor.save wrote, found no file {file}")
    if _digest(file) != digest:
        raise ValueError(f"{file}: expected the file that {MODEL} was saved with, got another one")
    if not place.suffix:
        return ConRRegressor.load(place)
    require("RareRegressor.load", "skops")
    from skops.io import get_untrusted_types, loads  # noqa: PLC0415  an optional package
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415  an optional package

    content = file.read_bytes()
    known = [*_TRUSTED, *trusted]
    try:
        return loads(content, trusted=known)  # looks at the classes before it makes anything
    except UntrustedTypesFoundException as error:
        other = sorted(set(get_untrusted_types(data=content)) - set(known))
        raise ValueError(
            f"{file}: expected classes that are trusted, got {', '.join(other)}: name them in {option('trusted')}"
        ) from error
    except BREAKS as error:  # whoever changes a file can change its digest, too
        raise broken_model(file, "RareRegressor.save", error) from error


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
