"""Dense labels: the depth of every pixel, where far pixels are rare. ConR contrasts sampled pixels.

Run ``python examples/dense_depth.py``. The scenes are made here: a wall two or three metres away with a window in it,
behind which something is further away, mostly a little. What is far is paler.
"""

import torch
from torch import Tensor, nn

from conr import Bins, LabelDensity
from conr.losses import DenseConR, pixel_rows
from conr.metrics import depth_metrics

SIDE, FAR = 24, 10.0


def make_scenes(n: int, beyond: Tensor) -> tuple[Tensor, Tensor]:
    """Images (n, 2, SIDE, SIDE) and their depths (n, 1, SIDE, SIDE) in metres; beyond is how far the wall ends."""
    wall = 2 + torch.rand(n, 1, 1, 1)
    depth = wall.expand(n, 1, SIDE, SIDE).clone()
    for scene, (top, left) in enumerate(torch.randint(2, SIDE - 10, (n, 2)).tolist()):
        depth[scene, 0, top : top + 8, left : left + 8] += beyond[scene]
    depth.clamp_(max=FAR - 0.01)
    brightness = torch.exp(-depth / 5) + 0.02 * torch.randn_like(depth)
    return torch.cat((brightness, torch.rand_like(depth)), dim=1), depth  # the second channel says nothing


def few_shot_error(coefficient: float, epochs: int, scenes: int, density: LabelDensity) -> float:
    """Train and return the test error (RMSE in metres) over rare depths."""
    torch.manual_seed(0)
    images, depths = make_scenes(scenes, torch.distributions.Exponential(1.0).sample((scenes,)))
    density.fit(pixel_rows(depths))  # every pixel is a label
    encoder = nn.Sequential(
        nn.Conv2d(2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()
    )
    head = nn.Conv2d(32, 1, kernel_size=1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    regularizer = DenseConR(window=0.2, reduce="pixel", samples=256)

    for _ in range(epochs):
        for rows in torch.randperm(scenes).split(16):  # type: ignore[no-untyped-call]
            labels = depths[rows]  # (n, 1, h, w); NaN where there is no label
            features = encoder(images[rows])  # (n, 32, h, w)
            predictions = head(features)  # (n, 1, h, w)
            weights = density.weights(pixel_rows(labels)).view(len(rows), SIDE, SIDE)  # (n, h, w)
            loss = (predictions - labels).square().mean()
            loss = loss + coefficient * regularizer(features, labels, predictions, weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    encoder.eval()
    images, depths = make_scenes(100, torch.linspace(0, FAR - 2, 100))  # all depths alike
    metrics = depth_metrics(density)
    with torch.no_grad():
        metrics.update(head(encoder(images)), depths)
    return float(metrics.compute()["rmse_few"])


def main(epochs: int = 15, scenes: int = 320) -> None:
    """Train without and with ConR."""
    density = LabelDensity(
        Bins.by_width(width=0.5, low=0, high=FAR, clamp=True), scheme="sqrt_inverse", many=5000, few=1000
    )
    print(f"few-shot RMSE without ConR: {few_shot_error(0.0, epochs, scenes, density):.3f} m")
    print(f"few-shot RMSE with ConR:    {few_shot_error(0.2, epochs, scenes, density):.3f} m")


if __name__ == "__main__":
    main()
