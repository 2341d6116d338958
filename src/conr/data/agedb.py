"""AgeDB-DIR: the age of a face, while the young and the old are rare."""

import re
from functools import cached_property
from pathlib import Path

from conr.data.ages import AgeData
from conr.data.dataset import DatasetCard
from conr.tables.bad_rows import BadRows

FILE_NAME = re.compile(r"(?P<number>\d+)_.+_(?P<age>\d+)_[mf]\.jpg")
FOLDER = "AgeDB"


class AgeDB(AgeData):
    """AgeDB-DIR (Yang et al., ICML 2021): 16,488 photographs of well-known people; the label is the age in years.

    ``agedb.csv`` lists age, path and split; validation and test are balanced over the ages, with at most 30 images of
    each. Below ``root`` it lies beside the folder ``AgeDB`` of images ``NUMBER_NAME_AGE_SEX.jpg``, which are resized to
    a square and normalised to [-1, 1], float32 of shape (3, size, size).
    """

    name = "agedb-dir"
    table_name = "agedb.csv"
    highest_age = 120
    most_per_age = 30
    table_hint = "; use the published file, or let prepare_files() make one from the images"
    card = DatasetCard(
        summary="Faces in the wild, one age in years each; children and the very old are rare in training.",
        source="Images: Moschoglou et al., 'AgeDB: the first manually collected, in-the-wild age database', CVPR "
        "workshops 2017, on request from its authors (ibug.doc.ic.ac.uk). Split: agedb.csv of Yang et al., 'Delving "
        "into Deep Imbalanced Regression', ICML 2021, in the public code of that paper.",
        licence="Images: non-commercial research only.",
        layout={
            "agedb.csv": "columns age, path, split (train, val, test); made from the images if it is missing",
            "AgeDB/NUMBER_NAME_AGE_SEX.jpg": "the images, sex m or f",
        },
        counts={"train": 12208, "val": 2140, "test": 2140},
        notes=(
            "A split made by prepare_files() has the published sizes, but other images in each split.",
            "131 images whose names are not ASCII, and so depend on the unzip program, are found by their number.",
        ),
    )

    def locate(self, path: str) -> Path:
        """File of an image: at its path or, if its name is not ASCII, with the same number."""
        file = super().locate(path)
        if path.isascii() or file.is_file():
            return file
        name = self._name_of_number.get(file.name.partition("_")[0])
        return file if name is None else file.with_name(name)

    @cached_property
    def _name_of_number(self) -> dict[str, str]:
        files = (self.root / FOLDER).glob("*.jpg")
        return {file.name.partition("_")[0]: file.name for file in files if not file.name.isascii()}

    def usable_images(self) -> list[tuple[int, str]]:
        """Age and path of each image, by the names of the files.

        Raises:
            FileNotFoundError: no folder ``AgeDB`` below the root.
            ValueError: an image whose name does not say an age of 0 to 120, unless ``skip_bad``.
        """
        folder = self.root / FOLDER
        if not folder.is_dir():
            raise FileNotFoundError(f"expected the images in {folder}, found no such folder")
        files = sorted(folder.glob("*.jpg"), key=lambda file: file.name)
        bad = BadRows(folder, skip=self.skip_bad)
        usable = []
        for number, file in enumerate(files, start=1):
            named = FILE_NAME.fullmatch(file.name)
            if named is None or int(named["age"]) > self.highest_age:
                expected = f"a name NUMBER_NAME_AGE_SEX.jpg with an age up to {self.highest_age}"
                bad.add(number, f"expected {expected}, got {file.name}")
                continue
            usable.append((int(named["age"]), f"{FOLDER}/{file.name}"))
        bad.finish(len(files))
        return usable
