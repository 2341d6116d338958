"""Silence third-party messages that do not concern the run."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_of_writers_once() -> Iterator[None]:
    """Silence the traceback of TensorBoard's thread, as on a full disk: its next call raises the error again."""
    before = threading.excepthook

    def tell(found: threading.ExceptHookArgs) -> None:
        if not type(found.thread).__module__.startswith("tensorboard."):
            before(found)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def interruptions_end_all() -> Iterator[None]:
    """Let Ctrl-C end more than a training: Lightning turns it into an exit, and ignores each that follows."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


def silence_known_noise() -> None:
    """Silence Lightning's hints that do not apply to this command line."""
    # Lightning's hints that do not apply: presets are expanded on purpose; small datasets load fast in one process, and
    # presets know no machine; a
    # test needs no callback of the training; a resumed run goes on in its folder.
    for message in (
        "Be aware that when using `ckpt_path`",
        "Checkpoint directory .* exists and is not empty",
        "LightningCLI's args parameter",
        ".*does not have many workers",
        "This DataLoader will create",
        ".*isinstance\\(treespec, LeafSpec",
    ):
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
