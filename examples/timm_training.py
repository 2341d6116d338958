"""timm: one of its networks, its optimizer and its schedule, with ConR in the loop.

Run ``python examples/timm_training.py``. The network starts from scratch; with weights of yours, give
``pretrained=True`` or ``checkpoint_path=...`` to ``timm.create_model``.
"""

from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler import create_scheduler_v2  # type: ignore[attr-defined]
from torch import nn
from torch.utils.data import DataLoader

from conr import ConRLoss, LabelDensity
from conr.data import ImageViews, RotatedDigits, Splits
from conr.metrics import regression_metrics


def few_shot_error(coefficient: float, epochs: int, data: Splits, density: LabelDensity) -> float:
    """Train on turned digits and return the test error over rare angles, in degrees."""
    torch.manual_seed(0)
    model: Any = timm.create_model("test_resnet", num_classes=1, in_chans=1)
    head: nn.Module = model.get_classifier()
    regularizer = ConRLoss(window=1.0, temperature=0.1, distance_scale=0.01)
    view = ImageViews(shift=2, noise=0.3)
    loader = DataLoader(data.train, batch_size=64, shuffle=True)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.01)
    schedule, _ = create_scheduler_v2(optimizer, sched="cosine", num_epochs=epochs, warmup_epochs=0)

    for epoch in range(epochs):
        for images, angles in loader:
            inputs, labels = torch.cat((view(images), view(images))), angles.repeat(2)
            features = model.forward_head(model.forward_features(inputs), pre_logits=True)  # what the head would see
            predictions = head(features).squeeze(1)
            loss = nn.functional.l1_loss(predictions, labels)
            loss = loss + coefficient * regularizer(features, labels, predictions, density.weights(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step(epoch + 1)

    model.eval()
    images, angles = next(iter(DataLoader(data.test, batch_size=len(data.test))))
    with torch.no_grad():
        return regression_metrics(model(images).squeeze(1), angles, density)["mae_few"]


def main(epochs: int = 20) -> None:
    """Train without and with ConR."""
    data = RotatedDigits().splits
    density = LabelDensity(data.bins, scheme="sqrt_inverse").fit(data.train.labels)
    print(f"few-shot MAE without ConR: {few_shot_error(0.0, epochs, data, density):.2f} degrees")
    print(f"few-shot MAE with ConR:    {few_shot_error(4.0, epochs, data, density):.2f} degrees")


if __name__ == "__main__":
    main()
