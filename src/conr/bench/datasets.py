"""Datasets of a grid as they are typed: a preset's name, or ``table:FILE:TARGET``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conr._checks import check_choice
from conr.data.catalog import dataset_class, needed_options
from conr.methods.presets import VANILLA, dataset_names, preset_config

TABLE = "table"
_DATA = "--data."


@dataclass(frozen=True)
class GridDataset:
    """A dataset of a grid.

    Args:
        preset: the dataset in the names of presets, such as "rotated-digits" or "table".
        name: the dataset in results, "table-houses" for the table houses.csv.
        options: settings that differ from the preset, such as ``(("data.path", "houses.csv"),)``.
    """

    preset: str
    name: str
    options: tuple[tuple[str, str], ...] = ()


def grid_datasets(words: Iterable[str]) -> list[GridDataset]:
    """Datasets by what is typed for them.

    Args:
        words: names of datasets with presets, and ``table:FILE:TARGET`` for a CSV or Parquet file with its target
            column (by name, or by position as -1). It is called ``table-STEM`` after its file, as by ``conr fit``.

    Raises:
        ValueError: none, an unknown name (the message names the nearest), a table without file or target, or two
            datasets of one name.
        FileNotFoundError: a table's file is not there.

    Example:
        >>> [dataset.name for dataset in grid_datasets(["abalone", "rotated-digits"])]
        ['abalone', 'rotated-digits']
    """
    datasets = [_table(word) if word.partition(":")[0] == TABLE else _preset(word) for word in words]
    if not datasets:
        raise ValueError("datasets: expected at least one, got none")
    names = [dataset.name for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"datasets: expected different names, got {name} {names.count(name)} times: results are told apart by "
                "it, and a table is called after its file"
            )
    return datasets


def with_options(datasets: Sequence[GridDataset], settings: dict[str, str]) -> tuple[list[GridDataset], dict[str, str]]:
    """Give each dataset the settings that are its own, ``data.NAME.OPTION``, and return the others.

    Args:
        datasets: of the grid.
        settings: as typed, without the dashes.

    Returns:
        The datasets with their options, and the settings that hold for all of them.

    Raises:
        ValueError: a dataset lacks an option that it cannot do without.
    """
    own: dict[str, list[tuple[str, str]]] = {dataset.name: [] for dataset in datasets}
    shared = {}
    for key, value in settings.items():
        name = next((name for name in own if key.startswith(f"data.{name}.")), None)
        if name is None:
            shared[key] = value
        else:
            own[name].append((f"data.{key.removeprefix(f'data.{name}.')}", value))
    complete = [replace(one, options=(*one.options, *own[one.name])) for one in datasets]
    for dataset in complete:
        _check_needed(dataset, shared)
    return complete, shared


def _table(word: str) -> GridDataset:
    _, _, rest = word.partition(":")
    file, colon, target = rest.rpartition(":")
    parts = rest.split(":")
    for end in range(1, len(parts)):  # a colon may stand in either name
        if Path(":".join(parts[:end])).is_file():
            file, target = ":".join(parts[:end]), ":".join(parts[end:])
            break
    if not colon or not file or not target:
        raise ValueError(f"datasets: expected table:FILE:TARGET, as in table:houses.csv:price, got {word!r}")
    if not Path(file).is_file():
        raise FileNotFoundError(f"datasets: expected the file of a table, found no file {file}")
    return GridDataset(TABLE, f"{TABLE}-{Path(file).stem}", (("data.path", file), ("data.target", target)))


def _preset(word: str) -> GridDataset:
    check_choice("datasets", word, [name for name in dataset_names() if name != TABLE] + ["table:FILE:TARGET"])
    return GridDataset(word, dataset_class(word).name)


def _check_needed(dataset: GridDataset, shared: dict[str, str]) -> None:
    preset: dict[str, Any] = preset_config(f"{dataset.preset}-{VANILLA}")["data"].get("init_args", {})
    given = {*preset, *(name.removeprefix("data.") for name in (*shared, *dict(dataset.options)))}
    for option in needed_options(dataset_class(dataset.preset)):
        if option not in given:
            raise ValueError(
                f"{dataset.name}: expected {_DATA}{dataset.name}.{option}, which it cannot do without, got none"
            )
