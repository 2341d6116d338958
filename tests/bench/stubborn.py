"""Encoders that do not get through a training."""

import os
import signal

from torch import Tensor, nn


class Encoder(nn.Module):
    out_features = 4

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, self.out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layer(inputs)
        return features


class Raising(Encoder):
    """Raises while the environment has STUBBORN."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training and os.environ.get("STUBBORN"):
            raise RuntimeError("no way\nand a second line")
        return super().forward(inputs)


class Dying(Encoder):
    """Is killed, as by a system that is out of memory."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(inputs)
