"""Both schedules in a real run of two processes, which Lightning starts."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from tests.training.test_command import TOY
from tests.training.toy import Toy

from conr.data.sampling import EpochSampler, sampling_weights
from conr.runs.folder import BEST_CHECKPOINT, FIRST_STAGE, FIRST_STAGE_EPOCHS, LAST_CHECKPOINT
from conr.runs.history import read_history


@pytest.mark.slow
def test_two_processes_share_the_draws_of_one_and_both_stages_run(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "conr.cli.main", "fit", *TOY, f"--output.root={tmp_path}"),
        *("--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.max_epochs=2", "--rrt.epochs=1"),
        *("--data.batch_size=6", "--sampling_power=1", "--seed_everything=5"),
        "--trainer.callbacks=tests.training.recording.Records",
        f"--trainer.callbacks.folder={tmp_path}",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(command, env=environment, check=True, timeout=500)
    train = Toy(batch_size=6).splits
    weights = sampling_weights(train.train.labels, train.bins, power=1.0)
    for epoch in range(3):
        sampler = EpochSampler(24, weights=weights if epoch < 2 else None, seed=5)
        sampler.set_epoch(epoch)
        expected = Counter(train.train.labels[list(sampler)].tolist())
        seen: Counter[float] = Counter()
        for rank in range(2):
            seen += Counter(json.loads((tmp_path / f"{epoch}-{rank}.json").read_text()))
        assert seen == Counter({str(label): count for label, count in expected.items()})
    folder = tmp_path / "toy" / "custom" / "seed-5"
    assert int((folder / FIRST_STAGE_EPOCHS).read_text()) == 2
    assert [epoch for epoch, _ in read_history(folder)["val/mae"]] == [0, 1, 2]
    first, best = (
        torch.load(folder / path, weights_only=True) for path in (FIRST_STAGE / "best.ckpt", BEST_CHECKPOINT)
    )
    assert torch.load(folder / LAST_CHECKPOINT, weights_only=True)["epoch"] == best["epoch"] == 2
    for name, value in first["state_dict"].items():
        if name.startswith("encoder."):
            assert torch.equal(value, best["state_dict"][name])
