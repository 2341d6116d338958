"""Read-only and full disks, and paths that cannot be: one line that says where and why; what was there stays."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.training.test_command import TOY, fit

from conr.cli.main import main
from conr.runs.atomic import write_whole
from conr.runs.results import RunResult

ONE_EPOCH = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.limit_train_batches=2"]
QUICK = ["--model.max_epochs=1", "--model.members=2", "--model.width=16", "--model.device=cpu"]


class Made:
    """A tested run, a model and a table, which commands of the tests read."""

    def __init__(self, root: Path) -> None:
        self.table = root / "houses.csv"
        rows = (f"{row % 40 + row / 100},{row % 40}" for row in range(240))
        self.table.write_text("\n".join(["area,price", *rows]))
        self.run = fit(root / "runs", "--trainer.max_epochs=1")
        self.model = root / "model"
        assert main(["test", "--run", str(self.run), "--trainer.enable_progress_bar=false"]) == 0
        assert main(["table", "fit", str(self.table), "--target=price", f"--out={self.model}", *QUICK]) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


Words = Callable[[Made, Path], list[str]]
COMMANDS: dict[str, Words] = {
    "fit": lambda _made, out: ["fit", *TOY, "--trainer.max_epochs=1", f"--output.root={out / 'new'}"],
    "bench": lambda made, out: [
        "bench", "--datasets", f"table:{made.table}:price", "--methods", "vanilla", "--seeds=1", "--jobs=1",
        *ONE_EPOCH, f"--out={out / 'new'}",
    ],
    "tune": lambda made, out: [
        "tune", "--dataset", f"table:{made.table}:price", "--trials=1", *ONE_EPOCH, f"--out={out / 'new'}",
    ],
    "report": lambda made, out: ["report", str(made.run), f"--out={out / 'report.html'}"],
    "explain": lambda made, out: ["explain", str(made.run), f"--out={out / 'explanation.html'}"],
    "inspect": lambda made, out: ["inspect", str(made.table), "--target", "price", f"--out={out / 'new'}"],
    "table fit": lambda made, out: ["table", "fit", str(made.table), "--target=price", *QUICK, f"--out={out / 'new'}"],
    "table predict": lambda made, out: ["table", "predict", str(made.model), str(made.table), f"--out={out / 'p.csv'}"],
    "table evaluate": lambda made, out: [
        "table", "evaluate", str(made.model), str(made.table), f"--out={out / 'new'}",
    ],
}  # fmt: skip
"""Commands that write into a folder."""
FREE = {"report": (30_000,), "explain": (30_000,), "bench": (0, 30_000), "tune": (0, 30_000)}
"""Bytes that a disk still has; the other commands write several files, and find three amounts."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fails(words: list[str], capsys: pytest.CaptureFixture[str], *, where: Path, why: tuple[str, ...]) -> None:
    """Run a command that must end with status 2 (1 for a failed run of a grid) and a line with path and reason."""
    capsys.readouterr()
    status = main(words)
    printed = capsys.readouterr()
    everything = " ".join((printed.err + printed.out).split())
    assert status == 2 or (status == 1 and words[0] == "bench"), everything
    assert "Traceback" not in everything
    assert any(one in everything for one in why), everything
    assert str(where) in everything.replace(" ", "") or str(where) in everything, everything
    if status == 2:
        line, hint = printed.err.strip().splitlines()[-2:]
        assert hint.startswith("(CONR_TRACEBACK=1")
        assert line.startswith(f"conr {words[0]}: "), line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_the_place_of_the_folder(
    command: str, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    words = COMMANDS[command](made, tmp_path / "file")
    fails(words, capsys, where=tmp_path / "file", why=("Not a directory", "File exists"))
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_disk(command: str, made: Made, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (disk / "earlier").write_text("result")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    fails(COMMANDS[command](made, disk), capsys, where=disk, why=("Read-only file system",))
    assert [path.name for path in disk.iterdir()] == ["earlier"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str, made: Made, disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk fills up at different moments: nothing half written is left under a name that is read."""
    (disk / "earlier").write_text("result")
    for free in FREE.get(command, (0, 6_000, 30_000)):
        filler = disk / "filler"
        with filler.open("wb") as file:
            size = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            file.write(bytes(max(0, size - free)))
        words = [word.replace(str(disk / "new"), str(disk / f"new-{free}")) for word in COMMANDS[command](made, disk)]
        if not fits(words, made, free):
            fails(words, capsys, where=disk, why=("No space left on device", "disk is full"))
        assert (disk / "earlier").read_text() == "result"
        for path in disk.rglob("result.json"):
            RunResult.read(path.parent)
        assert not any(path.is_dir() and command.startswith("table") for path in disk.iterdir()), "half a model"
        filler.unlink()
        for path in [*disk.iterdir()]:
            if path.name != "earlier":
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def fits(words: list[str], made: Made, free: int) -> bool:
    """Whether what a command writes is small enough for what is free."""
    return free > 6_000 and words[:2] == ["table", "predict"] and made.table.stat().st_size < free


def test_a_whole_file_names_path_and_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_whole(tmp_path / "result.json", lambda file: file.write(b"earlier"))

    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.EDQUOT)) as caught:
        write_whole(path, lambda file: file.write(b"later"))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # the run is a copy
@pytest.mark.parametrize("verb", ["resume", "test"])
def test_a_run_whose_disk_is_full_keeps_what_it_had(
    verb: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once there is room again, the same command does it."""
    run = shutil.copytree(made.run, tmp_path / "run")
    kept = {name: (run / name).read_bytes() for name in ("result.json", "outputs.npz", "checkpoints/last.ckpt")}
    words = {
        "resume": ["fit", "--resume", str(run), "--trainer.max_epochs=2"],
        "test": ["test", "--run", str(run), "--trainer.enable_progress_bar=false"],
    }[verb]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        fails(words, capsys, where=run, why=("No space left on device",))
    assert {name: (run / name).read_bytes() for name in kept} == kept
    assert not [path for path in run.rglob(".*") if path.is_file()]
    assert main(words) == 0
