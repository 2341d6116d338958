import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.miniature.agedb import write_agedb
from torch import Tensor
from torch.utils.data import DataLoader

from conr.data import AgeDB, ImageFolder
from conr.data.pictures import AUTO_LIMIT, GIB, Pictures, cache_bytes


class Decoder:
    """Pictures whose pixels are their position; counts how often each is decoded."""

    def __init__(self, count: int) -> None:
        self.calls = np.zeros(count, dtype=int)

    def __call__(self, position: int) -> Tensor:
        self.calls[position] += 1
        return torch.full((3, 2, 2), position, dtype=torch.uint8)


def pictures(decoder: Decoder, limit: int = GIB) -> Pictures:
    return Pictures(len(decoder.calls), decoder, shape=(3, 2, 2), limit=limit)


def test_each_picture_is_decoded_once_where_all_fit() -> None:
    decoder = Decoder(5)
    kept = pictures(decoder)
    for _ in range(2):
        assert kept.read([3, 1, 3])[:, 0, 0, 0].tolist() == [3, 1, 3]
    assert decoder.calls.tolist() == [0, 1, 0, 1, 0]
    kept.fill(np.array([0, 1, 4]))
    assert decoder.calls.tolist() == [1, 1, 0, 1, 1]
    assert kept.all()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert decoder.calls.tolist() == [1] * 5


def test_pictures_of_an_inference_can_be_filled_later() -> None:
    kept = pictures(Decoder(3))
    with torch.inference_mode():
        kept.fill(np.array([0]))
    assert (2 * kept.read([1, 0]))[:, 0, 0, 0].tolist() == [2, 0]
    kept.fill(np.array([2]))
    assert kept.all()[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_none_is_kept_where_not_all_fit() -> None:
    decoder = Decoder(5)
    read = pictures(decoder, limit=5 * 12 - 1)
    assert (read.nbytes, read.keeps) == (60, False)
    for _ in range(2):
        assert read.read([3, 1])[:, 0, 0, 0].tolist() == [3, 1]
    assert decoder.calls.tolist() == [0, 2, 0, 2, 0]


def test_a_copy_for_another_process_is_light() -> None:
    kept = Pictures(10, Decoder(10), shape=(3, 100, 100), limit=GIB)
    kept.put(np.zeros((10, 3, 100, 100), dtype=np.uint8))
    content = pickle.dumps(kept)
    assert len(content) < 10_000
    copied: Pictures = pickle.loads(content)  # noqa: S301  our own
    assert (copied.keeps, copied.shape) == (True, kept.shape)


def test_the_limit() -> None:
    assert cache_bytes(0) == 0
    assert cache_bytes(0.5) == GIB // 2
    assert 0 < cache_bytes("auto") <= AUTO_LIMIT


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("cache", ["auto", 0])
def test_batches_are_the_same_with_and_without_memory(tmp_path: Path, cache: float | str, num_workers: int) -> None:
    root = write_agedb(tmp_path)
    data = AgeDB(root=root, size=8, batch_size=16, num_workers=num_workers, cache=cache)  # type: ignore[arg-type]
    loader = data.val_dataloader()
    assert loader.num_workers == (0 if cache == "auto" else num_workers)
    (images, labels), *_ = loader
    single = [data.splits.val[row] for row in range(len(labels))]
    assert torch.equal(images, torch.stack([image for image, _ in single if isinstance(image, torch.Tensor)]))
    assert torch.equal(labels, torch.stack([label for _, label in single]))


def test_pictures_in_memory_are_not_read_again(tmp_path: Path) -> None:
    root = write_agedb(tmp_path)
    data = AgeDB(root=root, size=8)
    (images, _), *_ = data.val_dataloader()
    for file in (root / "AgeDB").iterdir():
        file.unlink()
    assert torch.equal(next(iter(data.val_dataloader()))[0], images)
    shared = DataLoader(data.splits.val, batch_size=len(images), num_workers=1, multiprocessing_context="fork")
    assert torch.equal(next(iter(shared))[0], images)


def test_the_size_of_the_images_themselves(tmp_path: Path) -> None:
    root = write_agedb(tmp_path)  # 20 x 24 pixels
    (root / "labels.csv").write_text((root / "agedb.csv").read_text().replace("age,path,split", "label,path,split"))
    data = ImageFolder(root=root, bin_width=1, split_column="split", size="auto")
    assert data.picture_size() == 20
    assert data.splits.train[0][0].shape == (3, 20, 20)  # type: ignore[union-attr]
