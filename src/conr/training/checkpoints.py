"""Checkpoint files: written complete or not at all, and read without running code from them."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from conr.runs.atomic import write_whole

_NEEDS_CODE = "WeightsUnpickler error:"
_RESTORING = "checkpoint_connector.py"  # where Lightning gives a checkpoint's content to model, optimizers and loops


class ReadError(ValueError):
    """A file that is no checkpoint."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a run's checkpoint: tensors and plain values, on the CPU. No code in the file is ever run.

    Raises:
        FileNotFoundError: no such file.
        ReadError: a file that is truncated, damaged, needs code to be run, or is no checkpoint of a run; the message
            names it.
    """
    content = _content(path)
    for name in ("epoch", "global_step"):
        if not isinstance(content.get(name), int):
            raise ReadError(f"{path}: expected a checkpoint with a whole number {name!r}, got {content.get(name)!r}")
    return content


def read_weights(path: Path) -> dict[str, Tensor]:
    """The ``state_dict`` of a checkpoint, also of one that holds nothing else; otherwise as `read_checkpoint`."""
    weights: dict[str, Tensor] = _content(path)["state_dict"]
    return weights


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"expected a checkpoint, found no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # what torch raises for a damaged file depends on where it is damaged
        raise ReadError(
            f"{path}: expected a checkpoint of tensors and plain values, got a broken one: {first_line(error)}"
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ReadError(f"{path}: expected a checkpoint with a 'state_dict' of tensors by name, got none")
    found: dict[str, Any] = content
    return found


def is_from_restoring(error: BaseException) -> bool:
    """Tell whether an exception came up while a checkpoint's content was given to the parts of a run."""
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == _RESTORING:
            return True
        trace = trace.tb_next
    return False


def first_line(error: BaseException) -> str:
    """Message of an exception in one line; its type if it says nothing."""
    text = str(error)
    if _NEEDS_CODE in text:  # before it torch explains how to run the code nevertheless
        text = text.partition(_NEEDS_CODE)[2].partition(". Please")[0]
    text = " ".join(text.split("\n\n")[0].split())
    return f"{type(error).__name__}: {text}" if text and isinstance(error, KeyError) else text or type(error).__name__


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, each complete or not at all wherever it lies.

    Lightning itself writes to the folder for temporary files and moves from there, which copies where that is another
    file system: a process killed in between leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            OSError: it cannot be written; an earlier one is then still there.
        """
        if _is_remote(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()  # torch tells a full disk as a RuntimeError without a reason
        torch.save(checkpoint, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), lambda file: file.write(content.getbuffer()))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, see `read_checkpoint`; with code from it only if ``weights_only`` is False."""
        if _is_remote(path) or weights_only is False:
            with get_filesystem(path).open(path, "rb") as file:
                loaded: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=weights_only is not False)
            return loaded
        return read_checkpoint(Path(path))


def keep_checkpoints_whole(trainer: Trainer) -> None:
    """Let a trainer use `WholeCheckpoints`, unless its strategy has a way of its own."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = WholeCheckpoints()


def _is_remote(path: Any) -> bool:
    return "://" in str(path)
