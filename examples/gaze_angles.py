"""Labels of two dimensions: pitch and yaw of a gaze. Bins are a grid, and directions are alike by their angle.

Run ``python examples/gaze_angles.py``. The eyes are drawn here: a dark iris on a bright ball that turns.
"""

import math

import torch
from torch import Tensor, nn

from conr import Bins, ConRLoss, LabelDensity
from conr.data import ImageViews
from conr.metrics import gaze_metrics
from conr.models import SmallCNN

LIMIT = 0.5  # radians, of pitch and yaw


def draw_eyes(gaze: Tensor) -> Tensor:
    """Noisy images (n, 1, 28, 28) of eyes that look into the directions (n, 2): pitch and yaw in radians."""
    axis = torch.linspace(-1, 1, 28)
    x = (axis - gaze[:, 1:].sin()).square().unsqueeze(1)  # (n, 1, 28)
    y = (axis - gaze[:, :1].sin()).square().unsqueeze(2)  # (n, 28, 1)
    eyes = 1 - torch.exp(-(x + y) / 0.05)  # (n, 28, 28)
    return (eyes + 0.3 * torch.randn_like(eyes)).unsqueeze(1)


def few_shot_error(coefficient: float, epochs: int, gaze: Tensor, density: LabelDensity) -> float:
    """Train and return the test error over rare directions, in degrees."""
    torch.manual_seed(0)
    images, view = draw_eyes(gaze), ImageViews(shift=0, noise=0.3)
    encoder, head = SmallCNN(channels=(8, 16), features=64), nn.Linear(64, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    regularizer = ConRLoss(window=math.radians(2), distance="angular", temperature=0.1, distance_scale=1.0)

    for _ in range(epochs):
        for rows in torch.randperm(len(gaze)).split(64):  # type: ignore[no-untyped-call]
            inputs, labels = torch.cat((view(images[rows]), view(images[rows]))), gaze[rows].repeat(2, 1)  # (2n, 2)
            features = encoder(inputs)
            predictions = head(features)  # (2n, 2)
            loss = (predictions - labels).abs().mean()
            loss = loss + coefficient * regularizer(features, labels, predictions, density.weights(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    encoder.eval()
    everywhere = LIMIT * (2 * torch.rand(1000, 2) - 1)  # all directions alike
    metrics = gaze_metrics(density)
    with torch.no_grad():
        metrics.update(head(encoder(draw_eyes(everywhere))), everywhere)
    return float(metrics.compute()["angular_few"])


def main(epochs: int = 15, samples: int = 3000) -> None:
    """Train without and with ConR."""
    torch.manual_seed(0)
    gaze = (torch.randn(samples, 2) * torch.tensor([0.1, 0.15])).clamp(-LIMIT, LIMIT)  # most look ahead
    grid = Bins.by_width(width=math.radians(4), low=[-LIMIT, -LIMIT], high=[LIMIT, LIMIT])
    density = LabelDensity(grid, scheme="sqrt_inverse", kernel="gaussian").fit(gaze)
    print(f"few-shot error without ConR: {few_shot_error(0.0, epochs, gaze, density):.2f} degrees")
    print(f"few-shot error with ConR:    {few_shot_error(0.02, epochs, gaze, density):.2f} degrees")


if __name__ == "__main__":
    main()
