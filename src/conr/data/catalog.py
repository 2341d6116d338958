"""All datasets by name, so that a command can list them without loading any."""

import inspect
from importlib import import_module
from typing import cast

from conr._checks import check_choice
from conr.data.module import RegressionData

DATASETS = {
    "abalone": "conr.data.abalone.Abalone",
    "agedb-dir": "conr.data.agedb.AgeDB",
    "folder": "conr.data.folder.ImageFolder",
    "imdb-wiki-dir": "conr.data.imdb_wiki.ImdbWiki",
    "mpiigaze-dir": "conr.data.mpiigaze.MPIIGaze",
    "nyud2-dir": "conr.data.nyud2.NYUD2",
    "rotated-digits": "conr.data.rotated_digits.RotatedDigits",
    "sts-b-dir": "conr.data.sts_b.STSB",
    "sts-b-dir-bilstm": "conr.data.sts_b.STSBWords",
    "table": "conr.data.table.Table",
    "utkface-dir": "conr.data.utkface.UTKFace",
}
"""Class by name; a new dataset is one line here."""


def dataset_class(name: str) -> type[RegressionData]:
    """The class of a dataset.

    Raises:
        ValueError: an unknown name; the message names the nearest.

    Example:
        >>> dataset_class("abalone").label_name
        'rings'
    """
    check_choice("dataset", name, DATASETS)
    module, _, attribute = DATASETS[name].rpartition(".")
    return cast("type[RegressionData]", getattr(import_module(module), attribute))


def needed_options(dataset: type[RegressionData]) -> list[str]:
    """Options that a dataset cannot do without, such as where its files are; none of a dataset that is built in."""
    parameters = inspect.signature(dataset).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
