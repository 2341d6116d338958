"""UTKFace-DIR: the age of a face, while the old are rare."""

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from conr._auto import AUTO, Auto
from conr._checks import check_whole
from conr._hints import switch
from conr.data.ages import age_bins
from conr.data.dataset import DatasetCard
from conr.data.image_list import Columns, ImageTable
from conr.data.images import ImageData
from conr.data.picture_files import list_pictures
from conr.density import Bins, LabelDensity
from conr.density.splits import Positions
from conr.tables.bad_rows import BadRows

FOLDER = "UTKFace"
HIGHEST_AGE = 116
MOST_PER_AGE = 20
AGE = re.compile(r"(\d{1,3})_")


class UTKFace(ImageData):
    """UTKFace-DIR: 23,161 aligned faces in the wild; the label is the age in whole years, 0 to 116.

    The names of the files say the ages. Of identical pictures of one age the first counts, identical ones of different
    ages are left out. The split follows from the names alone, see `hash_split`. Images are resized to a square and
    normalised to [-1, 1], float32 of shape (3, size, size).

    With ``train_size``, some of the training split are trained on, the same ones on any machine, and the dataset is
    called ``utkface-dir-SIZE`` in results. Shot regions stay those of the whole training split.

    Args:
        root: folder or zip archive of the images, or of a folder ``UTKFace`` with them.
        train_size: images that are trained on, as unevenly spread over the ages as all are; all of them if None.
        even: spread these as evenly as the ages allow: what the same number of images could reach.
        skip_bad: leave out files whose name says no age, and identical pictures of different ages, instead of stopping.

    Raises:
        ValueError: a number out of its range, or even without a train_size.
    """

    name = "utkface-dir"
    label_name = "age"
    label_unit = "years"
    shows_inputs = False
    card = DatasetCard(
        summary="Aligned faces, one age in years each; a third are 20 to 29, those above 78 are rare.",
        source="Zhang, Song and Qi, 'Age progression/regression by conditional adversarial autoencoder', CVPR 2017; "
        "the aligned and cropped faces of UTKFace, from its page (susanqq.github.io/UTKFace).",
        licence="Available for non-commercial research purposes only; copyright stays with the original owners.",
        layout={
            "UTKFace/[age]_[gender]_[race]_[date&time].jpg.chip.jpg": "the images, in a folder or a zip archive; only "
            "the age is read, so that the three names that lack another field are used too",
        },
        counts={"train": 19935, "val": 1613, "test": 1613},
        notes=(
            "Ages were estimated by a network and checked by people.",
            "Identities are unknown: a person may be in several splits.",
            "The split is this library's own: of the n images of an age, min(n // 4, 20) test and as many validate it.",
            "No page shows an image or the name of a file.",
        ),
    )

    def __init__(
        self,
        *,
        root: str | Path,
        size: int = 64,
        train_size: int | None = None,
        even: bool = False,
        cache: float | Auto = AUTO,
        skip_bad: bool = False,
        check_images: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__(
            root=root,
            table="",
            columns=Columns(path="", labels=["age"], low=0, high=HIGHEST_AGE),
            size=size,
            cache=cache,
            skip_bad=skip_bad,
            check_images=check_images,
            batch_size=batch_size,
            num_workers=num_workers,
        )
        if train_size is not None:
            check_whole("train_size", train_size, low=1)
            self.name = f"{self.name}-{train_size}"
        elif even:
            raise ValueError("even: expected a train_size to spread evenly, got none")
        self.train_size = train_size
        self.even = even

    def bins(self, labels: Tensor) -> Bins:  # noqa: ARG002  the same for all labels
        """One bin per year from 0 to 116."""
        return age_bins(HIGHEST_AGE)

    def listed(self, bad: BadRows) -> ImageTable:
        """The images by the order of their names, and the ages that the names begin with.

        Raises:
            FileNotFoundError: neither a folder nor an archive.
            ValueError: an archive that cannot be used; a name without an age, unless ``bad`` skips such; no images.
        """
        table, ages = ImageTable(self.table), []
        pictures = list_pictures(self.root, FOLDER)
        if not pictures:
            raise ValueError(f"{self.root}: expected pictures AGE_....jpg in it or in its folder {FOLDER}, found none")
        for row, (name, file) in enumerate(pictures.items(), start=1):
            found = AGE.match(name)
            if found is None or int(found[1]) > HIGHEST_AGE:
                bad.add(row, f"expected a name that begins with an age, 0_ to {HIGHEST_AGE}_, got {name}")
                continue
            table.rows.append(row)
            table.paths.append(name)
            table.files.append(file)
            table.splits.append("")
            ages.append(int(found[1]))
        table.labels = torch.tensor(ages, dtype=torch.float32)
        return table

    def members(self, table: ImageTable) -> Mapping[str, Positions]:
        """Positions of each split, of all images but copies; warns of how many these are.

        Raises:
            ValueError: identical pictures of different ages, unless ``skip_bad``.
        """
        contents, ages = table.contents, table.labels.numpy()
        differs = np.flatnonzero(ages != ages[contents])
        torn = np.isin(contents, contents[differs])
        if len(differs) and not self.skip_bad:
            one, other = (table.paths[position] for position in (contents[differs[0]], differs[0]))
            raise ValueError(
                f"{self.root}: expected one age per picture, got identical {one} and {other}, and {torn.sum()} such "
                f"pictures in all ({switch('skip_bad')} leaves them out)"
            )
        kept = np.flatnonzero(~torn & (contents == np.arange(len(contents))))
        if len(kept) < len(contents):
            left_out, groups = len(contents) - len(kept), len(np.unique(contents[torn]))
            warnings.warn(
                f"{self.root}: {left_out} of {len(contents)} pictures left out: {left_out - torn.sum()} copies of one "
                f"that is used, and {torn.sum()} in {groups} groups of copies with different ages",
                stacklevel=2,
            )
        split = hash_split([table.paths[position] for position in kept], ages[kept])
        return {name: kept[rows] for name, rows in split.items()}

    def repeats(self, table: ImageTable, members: Mapping[str, Positions]) -> list[str]:  # noqa: ARG002
        """None: copies are left out."""
        return []

    def training_rows(self, table: ImageTable, rows: Positions) -> Positions:
        """Positions of the ``train_size`` images that are trained on, or of all.

        Raises:
            ValueError: more than there are.
        """
        self._all_train_labels = table.labels[torch.from_numpy(rows)]
        if self.train_size is None:
            return rows
        if self.train_size > len(rows):
            raise ValueError(f"train_size: expected at most the {len(rows)} there are, got {self.train_size}")
        labels, names = table.labels.numpy()[rows], [f"train {table.paths[row]}" for row in rows]
        ages, counts = np.unique(labels, return_counts=True)
        quotas = even_quotas(counts, self.train_size) if self.even else proportional_quotas(counts, self.train_size)
        chosen = [
            _by_hash(names, np.flatnonzero(labels == age))[:quota] for age, quota in zip(ages, quotas, strict=True)
        ]
        drawn: Positions = np.sort(rows[np.concatenate(chosen)])
        return drawn

    def shot_density(self) -> LabelDensity:
        """Training counts of each age, and the shot regions of the whole training split."""
        if self.train_size is None or self.protocol is not None:
            return super().shot_density()
        return self._shot_density_with_regions_of(self._all_train_labels)


def hash_split(names: Sequence[str], ages: Sequence[float] | np.ndarray) -> dict[str, Positions]:
    """Positions of train, val and test by the names of files, the same ones on any machine.

    Of each age, the images are put in the order of the SHA-256 digests of their names (in UTF-8, without folders, as
    hexadecimal text). Of n images the first min(n // 4, 20) test, the next as many validate, all others train.

    Args:
        names: of the files, all different; their order does not matter.
        ages: of each.

    Example:
        >>> names = [f"30_0_0_{number}.jpg" for number in range(8)]
        >>> {split: rows.tolist() for split, rows in hash_split(names, [30] * 8).items()}["train"]
        [0, 5, 6, 7]
    """
    labels = np.asarray(ages)
    rows: dict[str, list[Positions]] = {"train": [], "val": [], "test": []}
    for age in np.unique(labels):
        order = _by_hash(names, np.flatnonzero(labels == age))
        held_out = min(len(order) // 4, MOST_PER_AGE)
        rows["test"].append(order[:held_out])
        rows["val"].append(order[held_out : 2 * held_out])
        rows["train"].append(order[2 * held_out :])
    return {split: np.sort(np.concatenate(parts)) for split, parts in rows.items()}


def proportional_quotas(counts: Sequence[int] | np.ndarray, total: int) -> list[int]:
    """Numbers of several groups that make up a total in the groups' proportions (largest remainders).

    Example:
        >>> proportional_quotas([6, 3, 1], 5)
        [3, 2, 0]
    """
    shares = np.asarray(counts) * total / np.sum(counts)
    quotas = np.floor(shares).astype(int)
    rest = np.argsort(quotas - shares, kind="stable")[: total - quotas.sum()]
    quotas[rest] += 1
    found: list[int] = quotas.tolist()
    return found


def even_quotas(counts: Sequence[int] | np.ndarray, total: int) -> list[int]:
    """Numbers of several groups that make up a total as evenly as their sizes allow.

    Example:
        >>> even_quotas([6, 3, 1], 8)
        [4, 3, 1]
    """
    sizes = np.asarray(counts)
    cap = next(cap for cap in range(int(sizes.max()), -1, -1) if np.minimum(sizes, cap).sum() <= total)
    quotas = np.minimum(sizes, cap)
    quotas[np.flatnonzero(sizes > cap)[: total - quotas.sum()]] += 1
    found: list[int] = quotas.tolist()
    return found


def _by_hash(names: Sequence[str], positions: Positions) -> Positions:
    """Positions in the order of the digests of their names."""
    digests = [hashlib.sha256(names[position].encode()).hexdigest() for position in positions]
    return positions[np.argsort(digests)]
