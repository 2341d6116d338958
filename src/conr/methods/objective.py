"""A method such as ``lds+conr`` as an objective: the mix of its preset, fitted on the training labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from torch import Tensor, nn

from conr._auto import AUTO
from conr._checks import check_number
from conr.density import Bins, ConRSettings, SampleWeights, suggest_settings
from conr.losses import L1
from conr.methods.hooks import hooks_of
from conr.methods.lengths import automatic
from conr.methods.presets import preset_config
from conr.methods.retraining import RRT
from conr.methods.scale import LabelScale, flat
from conr.methods.terms import CRITERION_LR, Regularizer, Terms
from conr.models import LinearHead

_CONR = "conr.ConRLoss"


@dataclass
class Objective:
    """All that training needs to know of a method, fitted on the training labels."""

    terms: Terms  # of a step
    make_head: Callable[[int], nn.Module]  # a head from a number of features
    sampling_power: float = 0.0  # how evenly samples are drawn over the bins
    criterion_lr: float = CRITERION_LR  # constant learning rate of the criterion's own parameters
    rrt: RRT | None = None  # settings of a second training of the head


def conr_settings(
    labels: Tensor,
    bins: Bins,
    scale: LabelScale,
    *,
    batch_size: int,
    criterion: str = "l1",
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
        criterion: what ConR is added to, "l1" or "mse"; see `criterion_kind`.
        window: in label units, in deviations if there are several targets; likewise the others.
        beta: coefficient of the regularizer.
        temperature: of the similarities.
        distance_scale: per label unit.

    Raises:
        TypeError, ValueError: something else than "auto" and a number in its range; the message names it.
    """
    targets = (labels - scale.mean) / scale.deviation  # (n, k)
    rule = suggest_settings(targets, scale.bins(bins), criterion=criterion, batch_size=max(2, batch_size))
    unit = float(scale.deviation[0]) if labels.shape[1] == 1 else 1.0
    return ConRSettings(
        window=_number("window", window, rule.window * unit, open_low=True),
        temperature=_number("temperature", temperature, rule.temperature, open_low=True),
        distance_scale=_number("distance_scale", distance_scale, rule.distance_scale / unit),
        coefficient=_number("beta", beta, rule.coefficient),
    )


def criterion_kind(method: str) -> str:
    """The kind of a method's criterion for `conr.density.suggest_settings`: "mse" or "l1".

    Raises:
        ValueError: as `build_objective`.
    """
    criterion = _preset(method)["model"].get("criterion", {})
    return "mse" if criterion.get("class_path", "").endswith(".MSE") else "l1"


def build_objective(
    method: str,
    labels: Tensor,
    bins: Bins,
    scale: LabelScale,
    settings: ConRSettings,
    *,
    features: int,
    batch_size: int,
) -> Objective:
    """The parts of a mix of methods, fitted on the training labels.

    The mix is that of the preset ``table-METHOD`` (`conr.methods.presets`). ConR's numbers are the given ones; others
    follow from the labels where the preset says "auto".

    Args:
        method: methods joined with ``+``.
        labels: of the training rows, shape (n, k), in label units.
        bins: of the labels, in label units.
        scale: of the labels.
        settings: of ConR.
        features: number of features.
        batch_size: rows per step.

    Raises:
        ValueError: an unknown method (the message names the nearest), methods that contradict each other, or one that
            cannot take labels of several dimensions.
    """
    preset = _preset(method)
    if labels.shape[1] == 1:
        deviation = float(scale.deviation[0])
        settings = settings._replace(
            window=settings.window / deviation, distance_scale=settings.distance_scale * deviation
        )
    model = _with_conr(preset["model"], settings)
    terms = Terms(
        criterion=_built(model["criterion"]) if "criterion" in model else L1(),
        criterion_coefficient=model.get("criterion_coefficient", 1.0),
        criterion_density=_density(model.get("criterion_density")),
        regularizers={
            name: Regularizer(_built(term["loss"]), term.get("coefficient", 1.0), _density(term.get("density")))
            for name, term in model.get("regularizers", {}).items()
        },
        smoothing=_built(model["smoothing"], features) if "smoothing" in model else None,
        scale=scale,
    )
    terms.fit(flat(labels), bins, num_features=features, batch_size=batch_size)
    rrt = dict(preset.get("rrt", {}))
    return Objective(
        terms,
        make_head=head_maker(method, scale.standardised(labels).float(), scale.bins(bins)),
        sampling_power=preset.get("sampling_power", 0.0),
        criterion_lr=model.get("criterion_lr", CRITERION_LR),
        rrt=RRT(**rrt | {"density": _density(rrt.get("density"))}) if rrt else None,
    )


def _with_conr(model: dict[str, Any], settings: ConRSettings) -> dict[str, Any]:
    """A preset's model with these numbers in the place of ConR's own."""
    for term in model.get("regularizers", {}).values():
        if term["loss"]["class_path"] == _CONR:
            numbers = settings._asdict()
            term["coefficient"] = numbers.pop("coefficient")
            term["loss"]["init_args"] = term["loss"].get("init_args", {}) | numbers
    return model


def _number(name: str, value: float | str, rule: float, *, open_low: bool = False) -> float:
    found = automatic(name, value, rule)
    check_number(name, found, low=0, open_low=open_low)
    return float(found)


def head_maker(method: str, targets: Tensor, bins: Bins) -> Callable[[int], nn.Module]:
    """Make a function from a number of features to the head of a method.

    Args:
        method: methods joined with ``+``.
        targets: standardised labels of the training rows, shape (n, k), which some heads are fitted on.
        bins: of the labels, in deviations.

    Raises:
        ValueError: as `build_objective`; from the function that is returned, if the head is for one target only.
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
        hooks_of(head).fit(flat(targets), bins)
        return head

    return make


def _preset(method: str) -> dict[str, Any]:
    try:
        return preset_config(f"table-{method}")
    except ValueError as error:
        raise ValueError(str(error).replace("preset", "method", 1)) from error


def _density(spec: Mapping[str, Any] | None) -> SampleWeights | None:
    return None if spec is None else cast("SampleWeights", _built(spec))


def _built(spec: Mapping[str, Any], *arguments: Any, **settings: Any) -> nn.Module:
    # Only of presets that ship with the package: a saved model names a method, never a class.
    module, _, name = spec["class_path"].rpartition(".")
    made = getattr(import_module(module), name)(*arguments, **spec.get("init_args", {}), **settings)
    return cast("nn.Module", made)
