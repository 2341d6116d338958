"""NYUD2-DIR: the depth of every pixel of an indoor scene, while far pixels are rare."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from conr._checks import check_number
from conr._extras import require
from conr.data.dataset import DatasetCard, RegressionDataset, Splits
from conr.data.image_views import IMAGENET_MEAN, IMAGENET_STD
from conr.data.module import RegressionData
from conr.data.nyud2_files import (
    BUCKETS,
    FIRST_BUCKET,
    TEST_CODING,
    TRAIN_CODING,
    Array,
    Coding,
    Frame,
    Pair,
    balanced_mask,
    count_buckets,
    in_threads,
    nearest_index,
    read_depth_counts,
    read_pairs,
    write_depth_counts,
)
from conr.data.protocols import Protocol
from conr.density import LabelDensity, SampleWeights
from conr.metrics import depth_metrics
from conr.tables.bad_rows import BadRows, check_splits_are_filled

TRAIN_LIST = "data/nyu2_train.csv"
TEST_LIST = "data/nyu2_test.csv"
MASK = "data/test_balanced_mask.npy"
COUNTS = "data/nyu2_train_depth_counts.npz"
LABEL_SAMPLE = 10_000
PUBLISHED_PAIRS = {"train": 50_688, "test": 654}

SCENE = re.compile(r"(?P<scene>.+_\d+)[a-z]?_out")
"""Folder of a scene's images; a letter counts the parts in which it was filmed."""


_MANY = {*range(9, 46), 47, 49}
_MEDIAN = {7, 8, 46, 48, *range(50, 57), 58, 60, 61, 63}
PUBLISHED_REGIONS = tuple("many" if b in _MANY else "median" if b in _MEDIAN else "few" for b in range(len(BUCKETS)))


@dataclass(eq=False, repr=False)
class DepthPairs(RegressionDataset):
    """Images with their depth, decoded on access; item ``i`` is ``(image, depth)``.

    The image is float32 of shape (3, height, width), normalised by ImageNet's mean and deviation; the depth is in
    metres, NaN where there is none, of shape (1, height, width), or half of that, rounded up, for training. Depths are
    not held in memory, so that this dataset has no ``labels``.
    """

    pairs: list[Pair]  # of the split
    frame: Frame  # scaling and crop
    coding: Coding  # of the depth files
    # depths are as large as the network's predictions; else pixels nearer than the first evaluated bucket have no
    # label
    for_training: bool
    mask: Array | None = None  # pixels that keep their label, shape (rows of the list, height, width); all if None

    def __post_init__(self) -> None:
        self.ids = [pair.name for pair in self.pairs]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pair = self.pairs[index]
        with pair.named():
            colors, levels = self.frame.read(pair, self.coding)
        depth = self.coding.metres(levels)  # (h, w)
        if self.for_training:
            rows, columns = (nearest_index(side, (side + 1) // 2) for side in depth.shape)
            depth = depth[rows[:, None], columns]
        else:
            nearest = BUCKETS.edges[0][FIRST_BUCKET].float().item()
            kept = depth >= nearest if self.mask is None else self.mask[pair.position] > 0
            depth = np.where(kept, depth, np.float32(np.nan))
        image = torch.from_numpy(colors).permute(2, 0, 1) / 255  # (3, h, w)
        mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
        return (image - mean) / std, torch.from_numpy(depth).unsqueeze(0)


class NYUD2(RegressionData):
    """NYUD2-DIR (Yang et al., ICML 2021): indoor images with the depth of every pixel, in metres up to 10.

    Training depths are half as large as the images, as the network's predictions are; those of validation and test are
    full size. Evaluated are pixels of 0.7 m and more; of the test those of the published balanced mask, which has
    equally many pixels of each depth bucket of 0.1 m. The published code has no validation split and keeps the epoch
    that is best on the test; here a share of the training scenes is held out for that.

    Args:
        root: folder of the folder ``data``.
        short_side: pixels of the images' shorter side after scaling.
        height: pixels of the crop in the centre.
        width: pixels of the crop in the centre.
        val_share: of the training scenes, held out for validation; at least one scene.
        data_seed: seed of the held-out scenes, and of the test mask if there is none yet.
        skip_bad: leave out rows that cannot be used, and warn of how many, instead of stopping at the first.
        check_images: decode every file when loading, so that unreadable ones are found before training.

    Raises:
        ValueError: a number out of its range.
    """

    name = "nyud2-dir"
    label_name = "depth"
    label_unit = "m"
    headline = "rmse"
    dense = True
    card = DatasetCard(
        summary="Photographs of rooms with the depth of every pixel; what is further than 5 m is rare in training.",
        source="Silberman et al., 'Indoor segmentation and support inference from RGBD images', ECCV 2012. The archive "
        "of 50,688 training and 654 test pairs is that of Hu et al., 'Revisiting single image depth estimation', WACV "
        "2019, which the public code of 'Delving into Deep Imbalanced Regression' (ICML 2021) names with its mask.",
        licence="Ask the authors of the dataset; it names none. Common use is non-commercial research.",
        layout={
            TRAIN_LIST: "no header; per row the paths, below root, of an image and its depth",
            TEST_LIST: "the same for the test",
            "data/nyu2_train/SCENE_out/N.jpg, N.png": "640 x 480; depth with 8 bits, 255 is 10 m, 0 is no depth",
            "data/nyu2_test/N_colors.png, N_depth.png": "640 x 480; depth with 16 bits in millimetres, 0 is no depth",
            MASK: "uint8 (654, 228, 304), 1 for an evaluated pixel; made by the published rule if it is missing",
            COUNTS: "made by prepare_files(): pixels per depth bucket, which every command would otherwise count again",
        },
        counts=PUBLISHED_PAIRS,
        notes=(
            "5 % of the training scenes are held out for validation; the published code selects on the test.",
            "Pixels without a depth, and those that a rotation brings in from outside, are masked, not trained as 0 m.",
            "A test mask made by prepare_files() has the published numbers of pixels, but other ones.",
        ),
    )

    def __init__(
        self,
        *,
        root: str | Path,
        short_side: int = 240,
        height: int = 228,
        width: int = 304,
        val_share: float = 0.05,
        data_seed: int = 0,
        skip_bad: bool = False,
        check_images: bool = False,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("data_seed", data_seed, low=0)
        if not 0 < val_share < 1:
            raise ValueError(f"val_share: expected a number between 0 and 1, got {val_share}")
        self.root = Path(root)
        self.frame = Frame(short_side, height, width)
        self.val_share = val_share
        self.data_seed = data_seed
        self.skip_bad = skip_bad
        self.check_images = check_images

    def load(self) -> Splits:
        """Read the lists, check that their files exist, and hold out scenes for validation.

        Raises:
            FileNotFoundError: no such folder or list.
            ValueError: a row that cannot be used, unless ``skip_bad``; a split without images; a mask of another shape.
            ImportError: Pillow is not installed.
        """
        pairs, rows = self._pairs(skip=self.skip_bad)
        train, val = self._split(pairs["train"])
        sizes = {"train": len(train), "val": len(val), "test": len(pairs["test"])}
        check_splits_are_filled(self.root / TRAIN_LIST, sizes, ("train", "val"))
        check_splits_are_filled(self.root / TEST_LIST, sizes, ("test",))
        mask = self._mask(pairs["test"], rows["test"])
        return Splits(
            train=DepthPairs(train, self.frame, TRAIN_CODING, for_training=True),
            val=DepthPairs(val, self.frame, TRAIN_CODING, for_training=False),
            test=DepthPairs(pairs["test"], self.frame, TEST_CODING, for_training=False, mask=mask),
            bins=BUCKETS,
        )

    def load_with(self, protocol: Protocol) -> Splits:
        """Refuse with a ValueError: a protocol draws samples by their label, and an image has one per pixel."""
        raise ValueError(f"protocol: expected none for dense labels, got {protocol.name!r}")

    @cached_property
    def train_counts(self) -> Tensor:
        """Training pixels of each depth bucket, at the size of the images; shape (100,), int64.

        Read from what `prepare_files` keeps; else every training depth is read once, some minutes for all of them.
        """
        dataset = self.splits.train
        assert isinstance(dataset, DepthPairs)  # noqa: S101  made above
        counts = read_depth_counts(self.root / COUNTS, dataset.pairs, self.frame)
        if counts is None:
            counts = count_buckets(dataset.pairs, self.frame, TRAIN_CODING)
        return torch.from_numpy(counts.sum(axis=0))

    def train_labels(self) -> Tensor:
        """About ``LABEL_SAMPLE`` depths (n,) that stand for the training pixels.

        These are the centres of the buckets, repeated in proportion to their pixels, at least once if they occur.
        """
        counts = self.train_counts
        share = (counts * (LABEL_SAMPLE / counts.sum())).round().long().clamp(min=1).where(counts > 0, 0)
        return BUCKETS.centers.squeeze(1).float().repeat_interleave(share)

    def fit_density(self, density: SampleWeights) -> None:
        """Fit a density on the counts of all training pixels, or if it cannot, on `train_labels`."""
        if isinstance(density, LabelDensity):
            density.fit_counts(self.train_counts, BUCKETS)
        else:
            super().fit_density(density)

    def shot_density(self) -> LabelDensity:
        """Training pixels per depth bucket, with the published shot regions."""
        return LabelDensity(fixed_regions=PUBLISHED_REGIONS).fit_counts(self.train_counts, BUCKETS)

    def metrics(self, density: LabelDensity, prefix: str) -> MetricCollection:
        """The metrics of depth; see `conr.metrics.depth_metrics`."""
        return depth_metrics(density, prefix=prefix)

    def problems(self) -> list[str]:
        """Every row that cannot be used, and numbers that are not the published ones; see the base class.

        Files are decoded only with ``check_images``, as that takes a while.
        """
        sentences: list[str] = []
        try:
            found = {split: self._read(split, skip=True) for split in PUBLISHED_PAIRS}
            for split, (pairs, bad) in found.items():
                sentences += [f"{bad.source}, row {row}: {problem}" for row, problem in sorted(bad.problems.items())]
                sentences += [f"{bad.source}, {sentence}" for sentence in self.unpublished_sizes({split: len(pairs)})]
            pairs, bad = found["test"]
            self._mask(pairs, len(pairs) + len(bad.problems))
        except (ValueError, OSError) as error:
            sentences.append(str(error))
        return sentences

    def prepare_files(self) -> list[Path]:
        """Make the balanced test mask if it is not there, and count the training depths, which takes some minutes.

        Raises:
            FileNotFoundError, ValueError: as `load`; a depth that cannot be read.
        """
        pairs, rows = self._pairs(skip=self.skip_bad)
        made = []
        mask, counts = self.root / MASK, self.root / COUNTS
        if not mask.exists():
            np.save(mask, balanced_mask(pairs["test"], rows["test"], self.frame, TEST_CODING, seed=self.data_seed))
            made.append(mask)
        if read_depth_counts(counts, pairs["train"], self.frame) is None:
            found = count_buckets(pairs["train"], self.frame, TRAIN_CODING)
            write_depth_counts(counts, pairs["train"], found, self.frame)
            made.append(counts)
        return made

    def _pairs(self, *, skip: bool) -> tuple[dict[str, list[Pair]], dict[str, int]]:
        pairs, rows = {}, {}
        for split in PUBLISHED_PAIRS:
            pairs[split], bad = self._read(split, skip=skip)
            rows[split] = len(pairs[split]) + len(bad.problems)
            bad.finish(rows[split])
        return pairs, rows

    def _read(self, split: str, *, skip: bool) -> tuple[list[Pair], BadRows]:
        require("conr.data.NYUD2", "PIL")
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: expected the folder of the folder data, found no folder {self.root}")
        source, coding = {"train": (TRAIN_LIST, TRAIN_CODING), "test": (TEST_LIST, TEST_CODING)}[split]
        bad = BadRows(self.root / source, skip=skip)
        pairs = read_pairs(self.root / source, self.root, bad)
        return (self._readable(pairs, coding, bad) if self.check_images else pairs), bad

    def _readable(self, pairs: list[Pair], coding: Coding, bad: BadRows) -> list[Pair]:
        def problem_of(pair: Pair) -> str | None:
            try:
                self.frame.read(pair, coding)
            except ValueError as error:
                return str(error)
            return None

        kept = []
        for pair, problem in zip(pairs, in_threads(problem_of, pairs), strict=True):
            if problem is None:
                kept.append(pair)
            else:
                bad.add(pair.row, problem)
        return kept

    def _split(self, pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
        scenes = sorted({_scene(pair) for pair in pairs})
        held_out = max(1, round(self.val_share * len(scenes)))
        drawn = np.random.default_rng(self.data_seed).permutation(len(scenes))[:held_out]
        chosen = {scenes[place] for place in drawn}
        train = [pair for pair in pairs if _scene(pair) not in chosen]
        return train, [pair for pair in pairs if _scene(pair) in chosen]

    def _mask(self, pairs: list[Pair], rows: int) -> Array:
        file = self.root / MASK
        if not file.is_file():
            return balanced_mask(pairs, rows, self.frame, TEST_CODING, seed=self.data_seed)
        expected = (rows, self.frame.height, self.frame.width)
        try:
            mask: Array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"expected the balanced test mask in {file}, got a broken file: {error}") from error
        if mask.shape != expected:
            raise ValueError(f"{file}: expected a mask of shape {expected}, got {mask.shape}")
        return mask


def _scene(pair: Pair) -> str:
    folder = pair.image.parent.name
    matched = SCENE.fullmatch(folder)
    return matched["scene"] if matched else folder
