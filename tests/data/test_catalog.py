import pytest

from conr.data import Abalone, RegressionData, Table
from conr.data.catalog import DATASETS, dataset_class, needed_options


@pytest.mark.parametrize("name", DATASETS)
def test_every_line_names_a_dataset_with_a_card(name: str) -> None:
    dataset = dataset_class(name)
    assert issubclass(dataset, RegressionData)
    assert dataset.name == name
    assert dataset.card is not None
    assert dataset.card.summary
    assert dataset.card.licence


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"dataset: expected one of .*, got 'rotated_digit'; did you mean 'rotated-di"):
        dataset_class("rotated_digit")


def test_needed_options() -> None:
    assert needed_options(Table) == ["path", "target"]
    assert needed_options(Abalone) == []
