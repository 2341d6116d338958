"""MPIIGaze-DIR: predict where an eye looks, while extreme directions are rare."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection

from conr._checks import check_number
from conr._extras import require
from conr.data.dataset import DatasetCard, RegressionDataset, Splits
from conr.data.module import RegressionData
from conr.data.mpiigaze_files import LINE, LISTS, NORMALIZED, Eyes, list_path, read_eyes, write_cache
from conr.density import Bins, LabelDensity
from conr.density.splits import Positions, balanced_split
from conr.metrics import gaze_metrics
from conr.tables.bad_rows import BadRows, check_splits_are_filled

PERSONS = tuple(f"p{number:02d}" for number in range(15))
LINES = 3000  # of each person's list, as published
REACH = 30  # degrees from straight ahead to the outer edge of the cells


@dataclass(eq=False, repr=False)
class EyeDataset(RegressionDataset):
    """One split: item ``i`` is ``({"image": (1, 36, 60), "pose": (2,)}, label (2,))``, all float32."""

    images: Tensor  # shape (n, 36, 60), uint8; a sample's image is divided by 255
    poses: Tensor  # pitch and yaw of the head in radians, shape (n, 2)
    labels: Tensor  # pitch and yaw of the gaze in radians, shape (n, 2)
    ids: list[str]  # one name per sample

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        image = self.images[index].unsqueeze(0).float() / 255  # (1, 36, 60)
        return {"image": image, "pose": self.poses[index]}, self.labels[index]


class MPIIGaze(RegressionData):
    """MPIIGaze: normalised images of eyes and the head's pose; the label is the gaze's pitch and yaw in radians.

    The samples are those of the evaluation subset: 1,500 left and 1,500 right eyes of each of 15 persons. Right eyes
    are mirrored. Inputs are ``{"image": (1, 36, 60), "pose": (2,)}``: gray in [0, 1], pitch and yaw of the head in
    radians. Metrics in label units are in radians, ``angular`` is in degrees.

    The authors of ConR never published their split of MPIIGaze; this one is ours. Labels fall into square cells of
    pitch and yaw. Validation and test are balanced over the cells: of each cell a third of the samples, at most
    ``most``, goes to each. Training takes the rest, as imbalanced as the data is, except for the other eye in a picture
    of which one eye is held out: no picture is in two splits.

    Args:
        root: the folder that holds ``Data`` and ``Evaluation Subset``.
        persons: whose eyes are used.
        cell_degrees: width of a cell in degrees. Cells reach 30 degrees to each side; a label beyond belongs to the
            nearest cell.
        most: samples per cell in validation and in test.
        held_out_persons: 0: all splits have eyes of the same persons, and the error is that for known persons. Else so
            many persons, drawn by the seed, are for validation and as many others for test. Of their eyes in a cell at
            most ``most`` are used, and training takes all eyes of the remaining persons.
        data_seed: seed of the split.
        skip_bad: leave out listed eyes that have no image or no finite gaze or pose, instead of raising.

    Raises:
        ValueError: a number out of range; a person twice; fewer than one person left for training.
    """

    name = "mpiigaze-dir"
    label_name = "gaze"
    label_unit = "radians"
    label_dimensions = ("pitch", "yaw")
    headline = "angular"
    card = DatasetCard(
        summary="Images of eyes with the head's pose; the label is the direction of gaze, extreme directions are rare.",
        source=(
            'MPIIGaze of the Max Planck Institute for Informatics: Zhang et al., "Appearance-Based Gaze Estimation in '
            'the Wild", CVPR 2015'
        ),
        licence="CC BY-NC-SA 4.0, not for commercial use",
        layout={
            f"{NORMALIZED}/pNN/dayNN.mat": "per person and day: filenames, data.left|right.image|gaze|pose",
            f"{LISTS}/pNN.txt": f"per person 3,000 lines '{LINE}'",
        },
        notes=(
            "The split is ours, because ConR's authors never published theirs; see the arguments of MPIIGaze.",
            "A line that repeats an earlier one counts once.",
        ),
    )

    def __init__(
        self,
        root: str,
        *,
        persons: Sequence[str] = PERSONS,
        cell_degrees: float = 2.0,
        most: int = 10,
        held_out_persons: int = 0,
        data_seed: int = 0,
        skip_bad: bool = False,
        batch_size: int = 32,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_number("cell_degrees", cell_degrees, low=0, open_low=True)
        check_number("most", most, low=1)
        check_number("held_out_persons", held_out_persons, low=0)
        check_number("data_seed", data_seed, low=0)
        repeated = [person for person, times in Counter(persons).items() if times > 1]
        if repeated:
            raise ValueError(f"persons: expected each once, got {', '.join(repeated)} more than once")
        if len(persons) <= 2 * held_out_persons:
            raise ValueError(
                f"persons: expected more than {2 * held_out_persons}, as {held_out_persons} are for validation and as "
                f"many for test, got {len(persons)}"
            )
        self.root = Path(root)
        self.persons = tuple(persons)
        self.cell_degrees = cell_degrees
        self.most = most
        self.held_out_persons = held_out_persons
        self.data_seed = data_seed
        self.skip_bad = skip_bad

    def load(self) -> Splits:
        """Read the listed eyes and split them.

        Raises:
            ImportError: scipy is not installed.
            FileNotFoundError: no ``root``, or no list or folder of a person.
            ValueError: an unusable line of a list, unless ``skip_bad``; a person without usable eyes; an empty split.
        """
        found = []
        for person, eyes in self._read():
            bad = BadRows(list_path(self.root, person), skip=self.skip_bad)
            for row, problem in zip(eyes.bad_lines.tolist(), eyes.problems.tolist(), strict=True):
                bad.add(row, problem)
            bad.finish(len(eyes.ids) + len(eyes.bad_lines))
            found.append(eyes)
        images, poses, labels = (
            torch.from_numpy(np.concatenate([getattr(eyes, name) for eyes in found]))
            for name in ("images", "poses", "gazes")
        )
        ids = np.concatenate([eyes.ids for eyes in found])
        reach = [math.radians(REACH)] * 2
        low, width = [-one for one in reach], math.radians(self.cell_degrees)
        bins = Bins.by_width(width=width, low=low, high=reach, clamp=True)
        parts = split_eyes(
            ids,
            bins.index(labels).numpy(),
            most=self.most,
            held_out_persons=self.held_out_persons,
            random=np.random.default_rng(self.data_seed),
        )
        check_splits_are_filled(self.root, {split: len(rows) for split, rows in parts.items()})
        datasets = {
            split: EyeDataset(images[rows], poses[rows], labels[rows], ids[rows].tolist())
            for split, rows in parts.items()
        }
        return Splits(**datasets, bins=bins)

    def problems(self) -> list[str]:
        """Everything that is wrong with the files: a sentence per list and kind of problem, naming the first line."""
        sentences = []
        try:
            for person, eyes in self._read():
                path = list_path(self.root, person)
                if eyes.lines != LINES:
                    sentences.append(f"{path}: expected {LINES} lines as published, got {eyes.lines}")
                rows: dict[str, list[int]] = {}
                for row, problem in zip(eyes.bad_lines.tolist(), eyes.problems.tolist(), strict=True):
                    rows.setdefault(problem, []).append(row)
                for problem, (first, *others) in rows.items():
                    more = f" and {len(others)} more" if others else ""
                    sentences.append(f"{path}, row {first}{more}: {problem}")
        except (ValueError, OSError) as error:
            return [*sentences, str(error)]
        return sentences or super().problems()

    def prepare_files(self) -> list[Path]:
        """Decode the .mat files once: write one file per person below ``root/conr-cache``.

        Later commands read it instead, until a list or a .mat file changes. It is not needed, and may be deleted.
        """
        self._check_root()
        made = (write_cache(self.root, person) for person in self.persons)
        return [path for path in made if path is not None]

    def metrics(self, density: LabelDensity, prefix: str) -> MetricCollection:
        """See `conr.metrics.gaze_metrics`."""
        return gaze_metrics(density, prefix=prefix)

    def _check_root(self) -> None:
        require("conr.data.MPIIGaze", "scipy")
        if not self.root.is_dir():
            raise FileNotFoundError(f"root: expected the folder of MPIIGaze, found no folder {self.root}")

    def _read(self) -> Iterator[tuple[str, Eyes]]:
        self._check_root()
        for person in self.persons:
            yield person, read_eyes(self.root, person)


def split_eyes(
    ids: NDArray[np.str_], cells: Positions, *, most: int, held_out_persons: int, random: np.random.Generator
) -> dict[str, Positions]:
    """Positions of train, val and test, as `MPIIGaze` describes them.

    Args:
        ids: ``"p00/day01/0005.jpg left"``, shape (n,).
        cells: cell of each label, shape (n,).
        most: samples per cell in val and in test.
        held_out_persons: for val, and as many for test; 0 splits the eyes of all persons.
        random: source of randomness.
    """
    pictures = np.asarray([name.rpartition(" ")[0] for name in ids])
    if held_out_persons == 0:
        occupied, position = np.unique(cells, return_inverse=True)
        bins = Bins.by_width(width=1, low=0, high=len(occupied))
        parts = balanced_split(torch.from_numpy(position), bins, most=most, seed=int(random.integers(2**32)))
        # Where a picture's two eyes were drawn apart, test goes before val and both go before train.
        parts["val"] = _without(parts["val"], pictures, parts["test"])
        parts["train"] = _without(parts["train"], pictures, np.concatenate((parts["val"], parts["test"])))
        return parts
    persons = np.asarray([name.partition("/")[0] for name in ids])
    order = random.permutation(np.unique(persons))
    held_out = {"val": order[:held_out_persons], "test": order[held_out_persons : 2 * held_out_persons]}
    parts = {"train": np.flatnonzero(np.isin(persons, order[2 * held_out_persons :]))}
    for split, chosen in held_out.items():
        rows = random.permutation(np.flatnonzero(np.isin(persons, chosen)))
        parts[split] = np.sort(np.concatenate([rows[cells[rows] == cell][:most] for cell in np.unique(cells[rows])]))
    return parts


def _without(rows: Positions, pictures: NDArray[np.str_], others: Positions) -> Positions:
    return rows[~np.isin(pictures[rows], pictures[others])]
