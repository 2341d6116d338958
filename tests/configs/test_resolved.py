"""Every preset resolves to the configuration in resolved.json: what a run trains with changes only on purpose.

The file has each dataset's configuration without methods, by dotted names, and per method what it sets there on which
datasets; per mix, what it sets beside its methods. ``python -m tests.configs.test_resolved`` writes it anew after a
wanted change.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from conr.methods.presets import VANILLA, dataset_names, method_names, preset_config

FILE = Path(__file__).with_name("resolved.json")
MIXES = (
    "balanced-sampling+conr",
    "bmc+conr",
    "conr+conr-pixel",
    "conr+rrt",
    "conr+rrt+balanced-sampling",
    "dist+conr",
    "evidential+lds+conr",
    "fds+conr",
    "fds+vir+conr",
    "hca+conr",
    "inv+conr",
    "lds+conr",
    "conr+lds",
    "lds+conr+rrt",
    "lds+conr-pixel",
    "lds+fds+conr",
    "sqinv+conr",
    "sqinv+conr+ranksim+srl",
    "sqinv+rnc-pretraining",
    "uvote+conr",
    "vir+conr",
)

Flat = dict[str, Any]


def flat(config: Any, name: str = "") -> Flat:
    """Values by dotted names."""
    if not isinstance(config, Mapping) or not config:
        return {name: config}
    return {key: value for part, one in config.items() for key, value in flat(one, f"{name}.{part}".strip(".")).items()}


def resolved(dataset: str, mix: str) -> Flat | None:
    """A preset by dotted names; None if the dataset does not have it."""
    try:
        config = flat(preset_config(f"{dataset}-{mix}"))
    except ValueError:
        return None
    assert config.pop("output.method") == mix
    return config


def names(dataset: str) -> list[str]:
    """Methods of a dataset, then mixes."""
    return [*method_names(dataset)[1:], *MIXES]


Change = dict[str, Any]
"""Difference of a method on some datasets: ``on`` these, values to ``set``, names that it goes ``without``."""


def changed(config: Flat, name: str, changes: Mapping[str, list[Change]], dataset: str) -> Flat:
    """A configuration after what one method or mix changes."""
    for change in changes.get(name, ()):
        if dataset in change["on"]:
            config = {key: config[key] for key in config if key not in change["without"]} | change["set"]
    return config


def expected(dataset: str, mix: str, snapshot: Mapping[str, Any]) -> Flat:
    """The configuration of a mix by the snapshot: base, then its methods' changes, then its own."""
    config: Flat = snapshot["bases"][dataset]
    for name in dict.fromkeys([*mix.split("+"), mix]):
        config = changed(config, name, snapshot["changes"], dataset)
    return config


def write() -> None:
    """Write the file anew."""
    bases = {dataset: resolved(dataset, VANILLA) or {} for dataset in dataset_names()}
    changes: dict[str, list[Change]] = {}
    for dataset in bases:
        for mix in names(dataset):
            config = resolved(dataset, mix)
            if config is not None:
                before = expected(dataset, mix, {"bases": bases, "changes": changes})
                values = {name: config[name] for name in config if name not in before or before[name] != config[name]}
                change = {"set": values, "without": sorted(before.keys() - config.keys())}
                groups = changes.setdefault(mix, [])
                same = next((one for one in groups if {"on": one["on"], **change} == one), None)
                if same is None:
                    groups.append({"on": [dataset], **change})
                else:
                    same["on"].append(dataset)
    sections: dict[str, dict[str, Any]] = {"bases": bases, "changes": dict(sorted(changes.items()))}
    lines = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(key)}: {json.dumps(one)}" for key, one in section.items())
        for name, section in sections.items()
    ]
    FILE.write_text("{" + "\n},\n".join(lines).replace('{"on"', '\n  {"on"') + "\n}}\n")


@pytest.mark.parametrize("dataset", dataset_names())
def test_presets_resolve_to_the_snapshot(dataset: str) -> None:
    snapshot = json.loads(FILE.read_text())
    known = {mix for mix, groups in snapshot["changes"].items() if any(dataset in one["on"] for one in groups)}
    assert set(method_names(dataset)) == {VANILLA, *known} - set(MIXES)
    assert resolved(dataset, VANILLA) == snapshot["bases"][dataset]
    for mix in names(dataset):
        assert resolved(dataset, mix) == (expected(dataset, mix, snapshot) if mix in known else None), mix


if __name__ == "__main__":
    write()
