import math

import pytest
import torch
from torch.utils.data import SequentialSampler

from conr.data import ArrayDataset, RegressionData, Splits
from conr.density import Bins


class Toy(RegressionData):
    name = "toy"
    label_name = "size"
    many = 3
    few = 2
    loads = 0

    def load(self) -> Splits:
        self.loads += 1
        return Splits(
            train=_dataset([0, 0, 0, 0, 1, 1, 2], "train"),
            val=_dataset([2, 1, 0], "val"),
            test=_dataset([0, 1, 2, 2, 1], "test"),
            bins=Bins([0, 1, 2, 3]),
        )


def _dataset(labels: list[float], split: str) -> ArrayDataset:
    column = torch.tensor(labels)
    return ArrayDataset(10 * column.unsqueeze(1).float(), column.float(), [f"{split}-{i}" for i in range(len(labels))])


def test_an_item_is_an_input_and_its_label() -> None:
    dataset = ArrayDataset(torch.arange(6.0).view(3, 2), torch.tensor([7.0, 8.0, 9.0]))
    features, label = dataset[1]
    assert (features.tolist(), label.item(), len(dataset), dataset.ids) == ([2.0, 3.0], 8.0, 3, ["0", "1", "2"])


def test_inputs_may_be_integers_and_labels_have_several_dimensions() -> None:
    tokens = torch.tensor([[1, 2], [3, 4]])
    features, label = ArrayDataset(tokens, torch.tensor([[0.0, 1.0], [2.0, 3.0]]), ["a", "b"])[1]
    assert (features.tolist(), label.tolist()) == ([3, 4], [2.0, 3.0])


@pytest.mark.parametrize(("inputs", "labels", "ids"), [(2, 3, 3), (3, 2, 3), (3, 3, 2)])
def test_unequal_lengths_are_refused(inputs: int, labels: int, ids: int) -> None:
    with pytest.raises(ValueError, match=f"inputs: expected as many as .*, got {inputs}, {labels} and {ids}"):
        ArrayDataset(torch.zeros(inputs, 1), torch.zeros(labels), ["x"] * ids)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one sample, got none"):
        ArrayDataset(torch.zeros(0, 1), torch.zeros(0))


@pytest.mark.parametrize(("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_the_sample_with_a_number_that_is_not_finite_is_named(value: float, text: str) -> None:
    bad = torch.tensor([[0.0, 0.0], [0.0, value]])
    with pytest.raises(ValueError, match=f"inputs: expected finite numbers, got {text} in sample 'second'"):
        ArrayDataset(bad, torch.zeros(2), ["first", "second"])
    for labels in (bad, bad[:, 1]):
        with pytest.raises(ValueError, match=f"labels: expected finite numbers, got {text} in sample 'second'"):
            ArrayDataset(torch.zeros(2, 1), labels, ["first", "second"])


def test_splits_load_once() -> None:
    data = Toy()
    assert data.loads == 0
    data.setup("fit")
    assert data.splits is data.splits
    data.test_dataloader()
    assert data.loads == 1


def test_training_batches_are_shuffled_and_complete() -> None:
    data = Toy(batch_size=3)
    torch.manual_seed(0)
    loader = data.train_dataloader()
    epochs = [torch.cat([labels for _, labels in loader]).tolist() for _ in range(5)]
    assert all(sorted(epoch) == [0, 0, 0, 0, 1, 1, 2] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_inputs_stay_with_their_labels() -> None:
    for inputs, labels in Toy(batch_size=2).train_dataloader():
        assert torch.equal(inputs.squeeze(1), 10 * labels)


def test_evaluation_batches_are_in_order() -> None:
    data = Toy(batch_size=2)
    assert [labels.tolist() for _, labels in data.val_dataloader()] == [[2, 1], [0]]
    for loader in (data.test_dataloader(), data.predict_dataloader()):
        assert [labels.tolist() for _, labels in loader] == [[0, 1], [2, 2], [1]]
        assert isinstance(loader.sampler, SequentialSampler)


def test_workers_are_kept_between_epochs() -> None:
    assert Toy(num_workers=1).train_dataloader().persistent_workers
    assert not Toy().train_dataloader().persistent_workers


def test_shot_regions_follow_the_training_counts() -> None:
    density = Toy().shot_density()
    assert density.counts.tolist() == [4, 2, 1]
    assert density.regions(torch.tensor([0.0, 1.0, 2.0])).tolist() == [0, 1, 2]  # many, median, few


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size: expected a number of at least 1, got 0"):
        Toy(batch_size=0)
    with pytest.raises(ValueError, match="num_workers: expected a number of at least 0, got -1"):
        Toy(num_workers=-1)


def test_a_dataset_must_say_how_it_loads() -> None:
    with pytest.raises(TypeError, match="load"):
        RegressionData()  # type: ignore[abstract]
