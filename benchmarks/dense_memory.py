"""Memory of one training step of depth estimation on 304 x 228: ResNet-50 and a small backbone, with and without ConR.

Each case runs in a process of its own, as a peak is that of a process. Run: ``python -m benchmarks.dense_memory``.
"""

import argparse
import json
import resource
import subprocess
import sys
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import environment, write_results
from conr import Bins, LabelDensity
from conr.data import DenseViews
from conr.losses import MSE, DenseConR
from conr.models import DepthEncoder, DepthHead
from conr.training import RegressionModule, Regularizer

BATCH, HEIGHT, WIDTH, SAMPLES = 8, 228, 304, 2048
BACKBONES = ("resnet50", "mobilenetv3_small_050")
VIEWS = {"one": 1, "three": 3}
CASES = (("none", "one"), ("pixel", "one"), ("pixel", "three"), ("image", "three"))
"""ConR on sampled pixels, on whole images, or not at all; view mode, of which the presets with ConR have three."""


def module(backbone: str, form: str, view_mode: str) -> RegressionModule:
    """As the presets ``nyud2-dir-lds``, ``nyud2-dir-lds+conr-pixel`` and ``nyud2-dir-lds+conr`` make it."""
    bins = Bins.by_width(width=0.1, low=0, high=10, clamp=True)
    counts = (1e7 * torch.exp(-((torch.arange(100) - 25) ** 2) / 500)).long() + 100_000
    densities = [
        LabelDensity(scheme="inverse", kernel="gaussian", boundary="reflect", first_bin=7).fit_counts(counts, bins)
        for _ in range(2)
    ]
    regularizers = {}
    if form != "none":
        loss = DenseConR(window=0.2, temperature=0.2, distance_scale=0.2, reduce=form, samples=SAMPLES)
        regularizers["conr"] = Regularizer(loss, 0.2, densities[1])
    made = RegressionModule(
        DepthEncoder(backbone),
        head=DepthHead(),
        criterion=MSE(),
        criterion_density=densities[0],
        regularizers=regularizers,
        views=DenseViews(),
        view_mode=view_mode,
    )
    made.collapse = None
    vars(made)["log_dict"] = lambda *_, **__: None  # no trainer, no log
    return made.train()


def saved_bytes(made: RegressionModule, batch: tuple[Tensor, Tensor]) -> tuple[int, Tensor]:
    """What the forward pass keeps for the backward pass, parameters aside, and the loss."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in made.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = made.training_step(batch, 0)
    return sum(kept.values()), loss


def measure(backbone: str, form: str, view_mode: str) -> dict[str, Any]:
    """One case of the result file, measured in this process."""
    torch.manual_seed(0)
    made = module(backbone, form, view_mode)
    images = torch.randn(BATCH, 3, HEIGHT, WIDTH)
    depth = 0.7 + 9 * torch.rand(BATCH, 1, HEIGHT // 2, WIDTH // 2)
    optimizer = torch.optim.Adam(made.parameters(), lr=1e-4, weight_decay=1e-4)
    before = _peak_mib()
    saved, loss = saved_bytes(made, (images, depth))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {
        "backbone": backbone,
        "regularizer": form,
        "view_mode": view_mode,
        "batch": BATCH,
        "images": BATCH * VIEWS[view_mode],
        "height": HEIGHT,
        "width": WIDTH,
        "samples": SAMPLES if form == "pixel" else None,
        "parameters_million": sum(parameter.numel() for parameter in made.parameters()) / 1e6,
        "saved_for_backward_mib": saved / 2**20,
        "peak_rss_before_mib": before,
        "peak_rss_mib": _peak_mib(),
        "loss": float(loss.detach()),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Measure all cases, print a line each, and write the result file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", nargs=3, metavar=("BACKBONE", "FORM", "VIEW_MODE"), help="measure one case only")
    chosen = parser.parse_args().case
    if chosen is not None:
        print(json.dumps(measure(*chosen)))
        return
    ran_on, cases = environment(), []
    for backbone in BACKBONES:
        for form, view_mode in CASES:
            command = [sys.executable, "-m", "benchmarks.dense_memory", "--case", backbone, form, view_mode]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            case = json.loads(done.stdout.splitlines()[-1])
            cases.append(case)
            print(
                f"{backbone}, {case['images']} images, ConR {form}: peak {case['peak_rss_mib']:.0f} MiB, "
                f"saved for backward {case['saved_for_backward_mib']:.0f} MiB",
                flush=True,
            )
    print(write_results("dense_memory", cases, ran_on=ran_on))


if __name__ == "__main__":
    main()
