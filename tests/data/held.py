from torch import Tensor

from conr.data import ArrayDataset, RegressionDataset


def held_inputs(dataset: RegressionDataset) -> Tensor:
    """All inputs of a split that is held in memory."""
    assert isinstance(dataset, ArrayDataset)
    return dataset.inputs
