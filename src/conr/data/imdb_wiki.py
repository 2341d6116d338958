"""IMDB-WIKI-DIR: the age of a face, from photographs of actors and of people with an encyclopaedia entry."""

import math
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from conr._extras import require
from conr.data.ages import AgeData, age_bins
from conr.data.dataset import DatasetCard
from conr.density import LabelDensity

PARTS = ("imdb", "wiki")
HIGHEST_AGE = 200
FIELDS = ("dob", "photo_taken", "full_path", "face_score", "second_face_score")


class ImdbWiki(AgeData):
    """IMDB-WIKI-DIR (Yang et al., ICML 2021): 213,553 photographs; the label is the age in years.

    ``imdb_wiki.csv`` lists age, path and split; validation and test are balanced over the ages, with at most 150 images
    of each. Ages up to 186 occur, as some dates of the source are wrong; for sample weights they share the bin of 120,
    for shot regions every age counts by itself, as published. Below ``root`` it lies beside the folders ``imdb_crop``
    and ``wiki_crop``, whose images are resized to a square and normalised to [-1, 1], float32 of shape (3, size, size).
    """

    name = "imdb-wiki-dir"
    table_name = "imdb_wiki.csv"
    highest_age = HIGHEST_AGE
    most_per_age = 150
    table_hint = "; use the published file, or let prepare_files() make one from the images' metadata"
    card = DatasetCard(
        summary="Faces of well-known people, one age in years each; children and the very old are rare in training.",
        source="Images: Rothe et al., 'Deep expectation of real and apparent age from a single image', IJCV 2018, the "
        "archives of cropped faces (data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki). Split: imdb_wiki.csv of Yang et al., "
        "'Delving into Deep Imbalanced Regression', ICML 2021, in the public code of that paper.",
        licence="Images: academic research only; copyright stays with their owners.",
        layout={
            "imdb_wiki.csv": "columns age, path, split (train, val, test); made from the metadata if it is missing",
            "imdb_crop/": "images of actors in folders 00 to 99, and imdb.mat, the metadata",
            "wiki_crop/": "images of encyclopaedia entries in folders 00 to 99, and wiki.mat, the metadata",
        },
        counts={"train": 191509, "val": 11022, "test": 11022},
        notes=("A split made by prepare_files() follows the published rule, but has other images in each split.",),
    )

    def shot_density(self) -> LabelDensity:
        """Training counts and shot regions of each single year from 0 to 200."""
        return LabelDensity(many=self.many, few=self.few).fit(self.splits.train.labels, age_bins(HIGHEST_AGE))

    def usable_images(self) -> list[tuple[int, str]]:
        """Age and path of the images with a face (score at least 1), no second one, and an age in [0, 200].

        This is the published rule, by the metadata ``imdb.mat`` and ``wiki.mat``.

        Raises:
            FileNotFoundError: no metadata.
            ValueError: metadata that cannot be read.
            ImportError: SciPy is not installed.
        """
        require("conr.data.ImdbWiki.prepare_files", "scipy")
        return [one for part in PARTS for one in _usable(self.root / f"{part}_crop" / f"{part}.mat", part)]


def age_in_photo(birth: float, taken: int) -> int | None:
    """Age in whole years of a person in a photograph; None if the date of birth is none.

    Photographs are dated by the year: half of the year is taken to have passed, so that people who were born from July
    on have not had their birthday.

    Args:
        birth: date of birth as MATLAB counts days, from 1 for the first of January of the year 0.
        taken: year of the photograph.

    Example:
        >>> age_in_photo(730486, 2009), age_in_photo(730668, 2009)  # born on 1 January and on 1 July 2000
        (9, 8)
    """
    ordinal = int(birth) - 366 if math.isfinite(birth) else 0  # Python counts from the first of January of the year 1
    if not 1 <= ordinal <= date.max.toordinal():
        return None
    born = date.fromordinal(ordinal)
    return taken - born.year - (born.month >= 7)


def _usable(metadata: Path, part: str) -> Iterator[tuple[int, str]]:
    """Age and path of the images that the published rule keeps, in the order of the metadata."""
    from scipy.io import loadmat  # noqa: PLC0415  optional
    from scipy.io.matlab import MatReadError  # noqa: PLC0415

    if not metadata.is_file():
        raise FileNotFoundError(f"expected the metadata of the images at {metadata}, found none")
    try:
        record = loadmat(metadata)[part][0, 0]
        columns = [np.asarray(record[field]).ravel() for field in FIELDS]
        rows = list(zip(*columns, strict=True))
    except (MatReadError, zlib.error, OSError, LookupError, ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(
            f"{metadata}: expected MATLAB metadata '{part}' with {', '.join(FIELDS)}, got: {error}"
        ) from error
    for birth, taken, path, face, second in rows:
        age = age_in_photo(float(birth), int(taken))
        alone = math.isnan(second) or second <= 0
        if face >= 1 and alone and age is not None and 0 <= age <= HIGHEST_AGE:
            yield age, f"{part}_crop/{path[0]}"
