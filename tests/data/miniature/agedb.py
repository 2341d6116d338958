"""AgeDB-DIR in miniature: the folder of images with its file names, and the published CSV file."""

from pathlib import Path

import numpy as np
from tests.data.miniature.images import write_image

AGES = [3] * 3 + [20] * 6 + [35] * 30 + [36] * 21 + [60] * 6 + [101] * 4
NAMES = ("AnnaMagnani", "MartinO'Brien", "Jean_LucGodard")


def write_agedb(root: Path, *, table: bool = True) -> Path:
    """Write 70 images below ``root``, and ``agedb.csv`` if wanted; returns ``root``."""
    random = np.random.default_rng(0)
    rows = ["age,path,split"]
    for number, age in enumerate(random.permutation(AGES).tolist()):
        path = f"AgeDB/{number}_{NAMES[number % 3]}_{age}_{'mf'[number % 2]}.jpg"
        write_image(root / path, age, highest=120, random=random)
        rows.append(f"{age},{path},{('train', 'train', 'train', 'val', 'test')[number % 5]}")
    if table:
        (root / "agedb.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
