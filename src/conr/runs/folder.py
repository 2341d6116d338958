"""Folder of a run: its files, and a free name for a new one, so that no run overwrites another."""

import os
import shutil
from pathlib import Path
from typing import Any

from conr.runs.atomic import write_text
from conr.runs.reading import read_yaml

CONFIG = "config.yaml"
LAST_CHECKPOINT = Path("checkpoints") / "last.ckpt"
BEST_CHECKPOINT = Path("checkpoints") / "best.ckpt"
FIRST_STAGE = Path("checkpoints") / "first-stage"
"""Checkpoints of the first of two stages, and once it has ended the file `FIRST_STAGE_EPOCHS` with its epochs."""
FIRST_STAGE_EPOCHS = FIRST_STAGE / "epochs"

_CHILD_VARIABLE = "CONR_RUN_FOLDER"


def new_run_folder(root: Path, dataset: str, method: str, seed: int | None) -> Path:
    """Make and return ``root/dataset/method/seed-S``, or the first of ``seed-S-2``, ``seed-S-3``, ... that is free.

    Processes that the trainer starts for the same run (DDP) get the folder of the process that started them.

    Raises:
        OSError: the folder cannot be made (read-only or full disk).
        ValueError: a method that is no name of a folder.
    """
    if method in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(method):
        raise ValueError(f"method: expected a name that a folder may have, got {method!r}")
    inherited = os.environ.get(_CHILD_VARIABLE)
    if inherited and not is_main_process():
        return Path(inherited)
    stem = f"seed-{seed}" if seed is not None else "seed-none"
    attempt = 1
    while True:
        folder = root / dataset / method / (stem if attempt == 1 else f"{stem}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            attempt += 1
            continue
        os.environ[_CHILD_VARIABLE] = str(folder)
        return folder


def is_main_process() -> bool:
    """Tell if this is no process that the trainer has started for a run (DDP)."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def remove_run_folder(folder: Path, root: Path) -> None:
    """Remove a new run's folder and those around it up to ``root``, as far as nothing else is in them."""
    shutil.rmtree(folder, ignore_errors=True)
    above = folder.parent
    while above.is_relative_to(root):
        try:
            above.rmdir()
        except OSError:  # another run is in it
            return
        above = above.parent


def check_run_folder(folder: Path) -> Path:
    """Require a folder that a run has made.

    Raises:
        FileNotFoundError: the folder or its configuration is not there; the message says which.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"expected the folder of a run, found no folder {folder}")
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"expected a run's {CONFIG} in {folder}, found none")
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        FileNotFoundError: the folder has none.
        ValueError: a file that is damaged, too large or no configuration; the message names it.
    """
    path = check_run_folder(folder) / CONFIG
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"{path}: expected the configuration of a run, got {type(content).__name__}")
    return content


def best_checkpoint(folder: Path) -> Path:
    """The checkpoint of the best epoch of a run; see `run_checkpoint`."""
    return run_checkpoint(folder, BEST_CHECKPOINT)


def run_checkpoint(folder: Path, checkpoint: Path) -> Path:
    """``BEST_CHECKPOINT`` or ``LAST_CHECKPOINT`` of a run's folder.

    Raises:
        FileNotFoundError: the run has none, because its first epoch did not end.
    """
    path = check_run_folder(folder) / checkpoint
    if not path.is_file():
        raise FileNotFoundError(
            f"expected the run's {checkpoint.stem} checkpoint at {path}, found none: has its first epoch ended?"
        )
    return path


def resume_checkpoint(folder: Path) -> Path | None:
    """The checkpoint from which a run goes on, None if it starts anew: its first epoch, or that of its second stage."""
    if (folder / LAST_CHECKPOINT).is_file():
        return folder / LAST_CHECKPOINT
    first = folder / FIRST_STAGE / LAST_CHECKPOINT.name
    return first if first.is_file() and first_stage_epochs(folder) is None else None


def first_stage_epochs(folder: Path) -> int | None:
    """Epochs of the first of two stages, None if it has not ended.

    Raises:
        ValueError: the note of it is no number; the message names the file.
    """
    path = folder / FIRST_STAGE_EPOCHS
    if not path.is_file():
        return None
    with path.open("rb") as file:
        text = file.read(100).decode(errors="replace").strip()
    if not text.isdecimal():
        raise ValueError(f"{path}: expected the number of epochs of the first stage, got {text!r}")
    return int(text)


def end_first_stage(folder: Path, epochs: int) -> None:
    """Note that the first of two stages has ended after so many epochs; the note appears complete or not at all."""
    path = folder / FIRST_STAGE_EPOCHS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"{epochs}\n")
