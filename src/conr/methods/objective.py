"""What a method such as ``lds+conr`` is to the estimator: criterion, weights, regularizers, smoothing, schedules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from conr._checks import check_number
from conr.density import Bins, ConRSettings, LabelDensity, SampleWeights, suggest_settings
from conr.losses import L1
from conr.methods.presets import preset_config
from conr.models import LinearHead

AUTO = "auto"

_CONR = "conr.ConRLoss"


class LabelScale(NamedTuple):
    """Mean and deviation of the training labels, float64, shape (k,): inside the estimator labels have 0 and 1."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> "LabelScale":
        """The scale of labels (n, k), float64.

        Raises:
            ValueError: so large labels that their deviation is no finite number.
        """
        deviation = labels.std(dim=0, correction=0)  # (k,)
        if not deviation.isfinite().all():
            raise ValueError("y: expected labels with a finite standard deviation, got too large ones")
        return cls(labels.mean(dim=0), torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def standardised(self, labels: Tensor) -> Tensor:
        """Labels (n, k) in deviations, float32."""
        return ((labels - self.mean) / self.deviation).float()

    def bins(self, bins: Bins) -> Bins:
        """The bins in deviations."""
        scales = zip(bins.edges, self.mean.tolist(), self.deviation.tolist(), strict=True)
        return Bins([((edges - mean) / deviation).tolist() for edges, mean, deviation in scales], clamp=True)


class Regularized(NamedTuple):
    """A regularizer, its coefficient, and what weighs its samples."""

    loss: nn.Module
    coefficient: float
    density: SampleWeights | None


@dataclass
class Objective:
    """All that training needs to know of a method, fitted on the training labels.

    Args:
        criterion: of predictions, labels and weights.
        make_head: a head from a number of features.
        density: gives the criterion's weights.
        regularizers: by name.
        make_smoothing: a layer between encoder and head from a number of features.
        sampling_power: how evenly samples are drawn over the bins.
        criterion_coefficient: of the criterion; 0 lets the regularizers alone train the encoder.
        rrt: settings of a second training of the head, as `conr.training.RRT` has them.
    """

    criterion: nn.Module
    make_head: Callable[[int], nn.Module]
    density: SampleWeights | None = None
    regularizers: dict[str, Regularized] = field(default_factory=dict)
    make_smoothing: Callable[[int], nn.Module] | None = None
    sampling_power: float = 0.0
    criterion_coefficient: float = 1.0
    rrt: Mapping[str, Any] | None = None


def conr_settings(
    labels: Tensor,
    bins: Bins,
    scale: LabelScale,
    *,
    batch_size: int,
    window: float | str = AUTO,
    beta: float | str = AUTO,
    temperature: float | str = AUTO,
    distance_scale: float | str = AUTO,
) -> ConRSettings:
    """Numbers of ConR for labels of any scale: those given, and those of `conr.density.suggest_settings` for "auto".

    The rule sees labels in standard deviations, as training does, so that its coefficient fits a criterion on these.
    Window and distance scale are then turned into the unit of the labels.

    Args:
        labels: of the training rows, shape (n, k), in label units.
        bins: of the labels, in label units.
        scale: of the labels.
        batch_size: rows per step.
        window: in label units, in deviations if there are several targets; likewise the others.
        beta: coefficient of the regularizer.
        temperature: of the similarities.
        distance_scale: per label unit.

    Raises:
        TypeError, ValueError: something else than "auto" and a number in its range; the message names it.
    """
    targets = (labels - scale.mean) / scale.deviation  # (n, k)
    rule = suggest_settings(targets, scale.bins(bins), batch_size=max(2, batch_size))
    unit = float(scale.deviation[0]) if labels.shape[1] == 1 else 1.0
    return ConRSettings(
        window=_number("window", window, rule.window * unit, open_low=True),
        temperature=_number("temperature", temperature, rule.temperature, open_low=True),
        distance_scale=_number("distance_scale", distance_scale, rule.distance_scale / unit),
        coefficient=_number("beta", beta, rule.coefficient),
    )


def build_objective(
    method: str, labels: Tensor, bins: Bins, scale: LabelScale, settings: ConRSettings, *, features: int
) -> Objective:
    """The parts of a mix of methods, fitted on the training labels.

    The mix is that of the preset ``table-METHOD`` (`conr.methods.presets`). What takes label units there gets them
    from the labels here: ConR by `conr_settings`, ACCon the range, SupCon and Ordinal Entropy the width of a bin, SRL
    range, width and number of features.

    Args:
        method: methods joined with ``+``.
        labels: of the training rows, shape (n, k), in label units.
        bins: of the labels, in label units.
        scale: of the labels.
        settings: of ConR.
        features: number of features.

    Raises:
        ValueError: an unknown method (the message names the nearest), methods that contradict each other, or one that
            cannot take labels of several dimensions.
    """
    preset = _preset(method)
    model = preset["model"]
    targets = scale.standardised(labels)  # (n, k)
    flat_targets = flat(targets)
    inner = scale.bins(bins)
    values = _label_units(flat_targets, inner, features)
    if labels.shape[1] == 1:
        deviation = float(scale.deviation[0])
        settings = settings._replace(
            window=settings.window / deviation, distance_scale=settings.distance_scale * deviation
        )
    objective = Objective(
        criterion=_built(model["criterion"]) if "criterion" in model else L1(),
        make_head=head_maker(method, targets, inner),
        sampling_power=preset.get("sampling_power", 0.0),
        criterion_coefficient=model.get("criterion_coefficient", 1.0),
        rrt=preset.get("rrt"),
    )
    _fit(objective.criterion, flat_targets, inner)
    if "criterion_density" in model:
        objective.density = fitted_density(_built(model["criterion_density"]), labels, bins)
    for name, term in model.get("regularizers", {}).items():
        loss = dict(term["loss"])
        is_conr = loss["class_path"] == _CONR
        own = {key: getattr(settings, key) for key in ("window", "temperature", "distance_scale")}
        own = own if is_conr else values.get(loss["class_path"].rpartition(".")[2], {})
        loss["init_args"] = {**loss.get("init_args", {}), **own}
        objective.regularizers[name] = Regularized(
            loss=_built(loss),
            coefficient=settings.coefficient if is_conr else term.get("coefficient", 1.0),
            density=fitted_density(_built(term["density"]), labels, bins) if "density" in term else None,
        )
    if "smoothing" in model:
        objective.make_smoothing = partial(_smoothing, model["smoothing"], flat_targets, inner)
    return objective


def retraining_density(rrt: Mapping[str, Any], labels: Tensor, bins: Bins) -> SampleWeights:
    """What weighs samples while the head is trained again."""
    if "density" in rrt:
        return fitted_density(_built(rrt["density"]), labels, bins)
    return fitted_density(LabelDensity(scheme="power", power=rrt.get("power", 0.5)), labels, bins)


def fitted_density(density: Any, labels: Tensor, bins: Bins) -> SampleWeights:
    """A density that has seen the training labels (n, k)."""
    return cast("SampleWeights", density.fit(flat(labels), bins))


def flat(labels: Tensor) -> Tensor:
    """Labels (n, k) as (n,) if k is 1."""
    return labels.squeeze(1) if labels.shape[1] == 1 else labels


def _number(name: str, value: float | str, automatic: float, *, open_low: bool = False) -> float:
    if isinstance(value, str):
        if value != AUTO:
            raise ValueError(f"{name}: expected 'auto' or a number, got {value!r}")
        return automatic
    check_number(name, value, low=0, open_low=open_low)
    return float(value)


def _label_units(targets: Tensor, bins: Bins, features: int) -> dict[str, dict[str, float]]:
    columns = targets.reshape(len(targets), -1)
    low, high = columns.amin(dim=0), columns.amax(dim=0)  # (k,)
    width = sum(float(edges.diff().median()) for edges in bins.edges) / bins.dimensions
    return {
        "ACConLoss": {"label_range": float((high - low).norm())},
        "SupConLoss": {"bin_width": width},
        "OrdinalEntropyLoss": {"bin_width": width},
        "SRLLoss": {"num_features": features, "low": float(low[0]), "high": float(high[0]), "bin_width": width},
    }


def head_maker(method: str, targets: Tensor, bins: Bins) -> Callable[[int], nn.Module]:
    """What makes the head of a method from a number of features.

    Args:
        method: methods joined with ``+``.
        targets: standardised labels of the training rows, shape (n, k), which some heads are fitted on.
        bins: of the labels, in deviations.

    Raises:
        ValueError: as `build_objective`; the function that is returned too, if the head is for one target only.
    """
    spec = _preset(method)["model"].get("head")
    dimensions = targets.shape[1]

    def make(features: int) -> nn.Module:
        several = {"out_features": dimensions} if dimensions > 1 else {}
        if spec is None:
            return LinearHead(features, **several)
        try:
            head = _built(spec, features, **several)
        except TypeError as error:
            raise ValueError(f"method: expected one for a single target with {dimensions} targets: {error}") from error
        _fit(head, flat(targets), bins)
        return head

    return make


def _preset(method: str) -> dict[str, Any]:
    try:
        return preset_config(f"table-{method}")
    except ValueError as error:
        raise ValueError(str(error).replace("preset", "method", 1)) from error


def _smoothing(spec: Mapping[str, Any], targets: Tensor, bins: Bins, features: int) -> nn.Module:
    layer = _built(spec, features)
    _fit(layer, targets, bins)
    return layer


def _built(spec: Mapping[str, Any], *arguments: Any, **settings: Any) -> nn.Module:
    # Only of presets that ship with the package: a saved model names a method, never a class.
    module, _, name = spec["class_path"].rpartition(".")
    made = getattr(import_module(module), name)(*arguments, **spec.get("init_args", {}), **settings)
    return cast("nn.Module", made)


def _fit(part: nn.Module, labels: Tensor, bins: Bins) -> None:
    fit = getattr(part, "fit", None)
    if fit is not None:
        fit(labels, bins)
