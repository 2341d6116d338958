"""Plain PyTorch, with ConR: the loop of ``plain_pytorch_before.py`` and five lines, marked ``# +``.

Run ``python examples/plain_pytorch_after.py``.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader

from conr import ConRLoss, LabelDensity  # + 1
from conr.data import ImageViews, RotatedDigits
from conr.models import SmallCNN


def main(epochs: int = 30) -> None:
    """Train, then print the test error over all angles and over the rare ones."""
    torch.manual_seed(0)
    data = RotatedDigits().splits
    loader = DataLoader(data.train, batch_size=64, shuffle=True)
    view = ImageViews(shift=2, noise=0.3)
    encoder, head = SmallCNN(features=128), nn.Linear(128, 1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    density = LabelDensity(data.bins, scheme="sqrt_inverse").fit(data.train.labels)  # + 2: how rare each angle is
    regularizer = ConRLoss(window=1.0, temperature=0.1, distance_scale=0.01)  # + 3: 1 degree, 1 / range of angles

    for _ in range(epochs):
        for images, angles in loader:
            inputs, labels = torch.cat((view(images), view(images))), angles.repeat(2)  # two random views of each
            features = encoder(inputs)
            predictions = head(features).squeeze(1)
            loss = (predictions - labels).abs().mean()
            weights = density.weights(labels)  # + 4
            loss = loss + 4.0 * regularizer(features, labels, predictions, weights)  # + 5
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    encoder.eval()
    images, angles = next(iter(DataLoader(data.test, batch_size=len(data.test))))
    with torch.no_grad():
        errors = (head(encoder(images)).squeeze(1) - angles).abs()
    rare = torch.bincount(data.train.labels.long(), minlength=90)[angles.long()] < 20  # trained on fewer than 20 times
    print(f"MAE {errors.mean():.2f} degrees, few-shot MAE {errors[rare].mean():.2f} degrees")


if __name__ == "__main__":
    main()
