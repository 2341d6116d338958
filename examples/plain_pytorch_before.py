"""Plain PyTorch, before ConR: digits, each turned by an angle that the network must predict; large angles are rare.

Run ``python examples/plain_pytorch_before.py``, then ``plain_pytorch_after.py``, which has five lines more.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader

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

    for _ in range(epochs):
        for images, angles in loader:
            inputs, labels = torch.cat((view(images), view(images))), angles.repeat(2)  # two random views of each
            features = encoder(inputs)
            predictions = head(features).squeeze(1)
            loss = (predictions - labels).abs().mean()
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
