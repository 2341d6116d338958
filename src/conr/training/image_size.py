"""The size of a dataset's images in a configuration, in the place of "auto"."""

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from conr._auto import AUTO
from conr.data import ImageData, RegressionData

_OF_DATA, _OF_ENCODER = "data.init_args.size", "model.encoder.init_args.size"


def put_image_size(config: Namespace) -> None:
    """Replace the size "auto" of a dataset of images, and of an encoder for its images, by that of the images.

    Args:
        config: of a run; changed in place. Datasets of other kinds are left alone.

    Raises:
        FileNotFoundError, ValueError: the list of images cannot be read.
    """
    waiting = [name for name in (_OF_DATA, _OF_ENCODER) if config.get(name) == AUTO]
    if not waiting:
        return
    parser = ArgumentParser()
    parser.add_subclass_arguments(RegressionData, "data")
    of_data: Any = Namespace(data=config.data)  # type: ignore[no-untyped-call]
    data = parser.instantiate_classes(of_data).data
    if isinstance(data, ImageData):
        for name in waiting:
            config[name] = data.picture_size()
