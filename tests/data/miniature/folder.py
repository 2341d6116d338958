"""A folder of images in miniature: subfolders, several formats, a CSV file with two labels and a split."""

from pathlib import Path

import numpy as np
from PIL import Image
from tests.data.miniature.images import write_image


def write_folder(root: Path) -> Path:
    """Write 60 images below ``root`` and ``labels.csv`` with columns file, weight, height, part; returns ``root``."""
    random = np.random.default_rng(0)
    rows = ["file,weight,height,part"]
    for number in range(60):
        weight = float(random.choice([1.0, 1.5, 2.0, 2.5, 9.0], p=[0.3, 0.3, 0.2, 0.1, 0.1]))
        path = Path(f"{number % 2}") / f"image {number}.jpg"
        write_image(root / path, weight, highest=10, random=random)
        if number % 10 == 0:  # a grey PNG among the JPEG files
            with Image.open(root / path) as image:
                image.convert("L").save((root / path).with_suffix(".png"))
            (root / path).unlink()
            path = path.with_suffix(".png")
        rows.append(f"{path.as_posix()},{weight},{-10 * weight},{('train', 'train', 'val', 'test')[number % 4]}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root
