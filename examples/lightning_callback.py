"""Lightning: ConR for a LightningModule that exists already and stays as it is.

Run ``python examples/lightning_callback.py``. It trains twice, without and with the callback.
"""

import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn

from conr import ConRLoss, LabelDensity
from conr.data import ImageViews, RotatedDigits
from conr.metrics import regression_metrics
from conr.models import SmallCNN
from conr.training import AddRegularizers, Regularizer


class Angles(LightningModule):
    """What you have: it predicts the angle of a digit, and nothing in it knows of ConR."""

    def __init__(self) -> None:
        super().__init__()
        self.view = ImageViews(shift=2, noise=0.3)
        self.encoder = SmallCNN(features=128)
        self.head = nn.Linear(128, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Angles (n,) of images (n, 1, 28, 28)."""
        angles: Tensor = self.head(self.encoder(images))
        return angles.squeeze(1)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """L1 loss on one random view of each image."""
        images, angles = batch
        return nn.functional.l1_loss(self(self.view(images)), angles)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def few_shot_error(data: RotatedDigits, *callbacks: AddRegularizers, epochs: int) -> float:
    """Train the module and return its test error over rare angles."""
    seed_everything(0, verbose=False)
    model = Angles()
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data.train_dataloader())
    model.eval()
    with torch.no_grad():
        batches = [(model(images), angles) for images, angles in data.test_dataloader()]
    predictions, angles = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return regression_metrics(predictions, angles, data.shot_density())["mae_few"]


def main(epochs: int = 30) -> None:
    """Train without and with ConR."""
    data = RotatedDigits(batch_size=64)
    density = LabelDensity(data.splits.bins, scheme="sqrt_inverse").fit(data.splits.train.labels)
    conr = Regularizer(ConRLoss(window=1.0, temperature=0.1, distance_scale=0.01), coefficient=4.0, density=density)
    # The head's input are the features, its output the predictions. The second view gives each image a partner.
    callback = AddRegularizers({"conr": conr}, head="head", views=ImageViews(shift=2, noise=0.3))
    print(f"few-shot MAE without ConR: {few_shot_error(data, epochs=epochs):.2f} degrees")
    print(f"few-shot MAE with ConR:    {few_shot_error(data, callback, epochs=epochs):.2f} degrees")


if __name__ == "__main__":
    main()
