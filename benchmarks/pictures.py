"""Times of reading pictures: ``python -m benchmarks.pictures``, two minutes of one core.

23,000 drawn JPEG files of 64 x 64, named as those of UTKFace, are read as `conr.data.UTKFace`: the first time, when all
are decoded; then from the prepared file; an epoch of 12,000 of them from memory and from the files; and what the small
residual network takes for that epoch, two views of each picture, on batches that are ready. One thread, and the
processor's time, so that other programs on the machine disturb little. Writes ``benchmarks/results/pictures.json``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import environment, write_results
from conr.data import ImageViews, UTKFace, make_views
from conr.models import LinearHead, SmallResNet

COUNT, TRAIN_SIZE, SIZE, BATCH = 23_000, 12_000, 64, 64
STEPS = 10  # of the network that are timed
LIMITS = {"first": 15.0, "prepared": 1.0}
"""Most seconds that reading may take."""


def draw(folder: Path, count: int) -> None:
    """Write pictures of soft blobs, which compress as photographs do."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        blobs = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((SIZE, SIZE))
        pixels = np.asarray(blobs) + random.normal(0, 6, (SIZE, SIZE, 3))
        age = int(min(random.exponential(25), 100))
        name = f"{age}_{number % 2}_{number % 5}_20170117{number:09}.jpg.chip.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)


def seconds(call: Callable[[], object]) -> dict[str, float]:
    """What a call takes, by the processor's time and by the clock."""
    start = time.process_time(), time.perf_counter()
    call()
    return {"cpu_s": time.process_time() - start[0], "clock_s": time.perf_counter() - start[1]}


def read_all(data: UTKFace) -> None:
    """Find, split and decode all pictures."""
    for load in (data.train_dataloader, data.val_dataloader, data.test_dataloader):
        load()


def epoch(data: UTKFace) -> None:
    """All batches of the training split."""
    for _ in data.train_dataloader():
        pass


def network_epoch(data: UTKFace, channels: list[int]) -> dict[str, float]:
    """An epoch of forward, backward and optimizer on two views, from the time of some steps."""
    torch.manual_seed(0)
    encoder = SmallResNet(channels=channels)
    head = LinearHead(encoder.out_features)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    views = ImageViews(shift="auto", fill=-1.0, flip=0.5, noise=0.0)
    images, labels = next(iter(data.train_dataloader()))
    assert isinstance(images, torch.Tensor)

    def steps(count: int) -> None:
        for _ in range(count):
            seen = make_views(images, labels, views, "two")
            optimizer.zero_grad()
            torch.nn.functional.l1_loss(head(encoder(seen.inputs)), seen.labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    steps(3)
    return {name: value * (TRAIN_SIZE / BATCH / STEPS) for name, value in seconds(lambda: steps(STEPS)).items()}


def main() -> int:
    """Measure and write the file; the exit status is 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="pictures; fewer try the machinery out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ran_on, cases = environment(), []

    def record(what: str, **found: Any) -> None:
        cases.append({"what": what, "size": SIZE, **found})
        print(cases[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        root = Path(folder) / "UTKFace"
        draw(root, given.count)
        size = min(TRAIN_SIZE, given.count // 2)

        def faces(cache: float = 1.0) -> UTKFace:
            return UTKFace(root=root, size=SIZE, train_size=size, cache=cache, batch_size=BATCH)

        first = faces()
        record("first", pictures=given.count, **seconds(lambda: read_all(first)))
        first.prepare_files()
        prepared = faces()
        record("prepared", pictures=given.count, **seconds(lambda: read_all(prepared)))
        record("epoch from memory", pictures=size, **seconds(lambda: epoch(prepared)))
        files = faces(cache=0)
        files.splits  # noqa: B018  loads on first use
        record("epoch from files", pictures=size, **seconds(lambda: epoch(files)))
        for channels in ([16, 32, 64], [32, 64, 128]):
            record("epoch of the network", pictures=TRAIN_SIZE, channels=channels, **network_epoch(prepared, channels))
    write_results("pictures", cases, ran_on=ran_on)
    slow = [case["what"] for case in cases if case["cpu_s"] > LIMITS.get(case["what"], np.inf)]
    print(f"too slow: {', '.join(slow)}" if slow else "all limits kept")
    return bool(slow)


if __name__ == "__main__":
    raise SystemExit(main())
