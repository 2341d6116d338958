"""CSV files for spreadsheets, and folders that appear whole; of files see tests/safety/test_disks.py."""

from pathlib import Path

import pytest

from conr.runs.atomic import free_path, write_csv, write_folder


def test_what_a_spreadsheet_would_calculate_is_text(tmp_path: Path) -> None:
    ids = ["=1+1", "+1", "-2.5e3", "-a", "@b", "a=b", "\tc", "-1_0", "-inf", "", "a,b"]
    path = write_csv(tmp_path / "p.csv", ["id", "prediction"], [[name, -0.5] for name in ids])
    assert path.read_text(encoding="utf-8").splitlines() == [
        "id,prediction", "'=1+1,-0.5", "+1,-0.5", "-2.5e3,-0.5", "'-a,-0.5", "'@b,-0.5", "a=b,-0.5", "'\tc,-0.5",
        "'-1_0,-0.5", "'-inf,-0.5", ",-0.5", '"a,b",-0.5',
    ]  # fmt: skip


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    def write(folder: Path, *, fails: bool) -> None:
        (folder / "one").write_text("1")
        if fails:
            raise OSError(28, "No space left on device")

    folder = tmp_path / "models" / "a"
    with pytest.raises(OSError, match="No space left") as caught:
        write_folder(folder, lambda inside: write(inside, fails=True))
    assert caught.value.filename == str(folder)
    assert list(folder.parent.iterdir()) == []
    assert write_folder(folder, lambda inside: write(inside, fails=False)) == folder
    assert [path.name for path in folder.iterdir()] == ["one"]
    # Another process was faster: nothing is overwritten, and nothing lost.
    second = write_folder(folder, lambda inside: (inside / "two").write_text("2"))
    assert second == tmp_path / "models" / "a-2"
    assert [[file.name for file in path.iterdir()] for path in (folder, second)] == [["one"], ["two"]]


def test_a_free_name_keeps_the_ending_of_a_file_and_the_dots_of_a_folder(tmp_path: Path) -> None:
    file, folder, link = tmp_path / "a.b.csv", tmp_path / "a.b", tmp_path / "gone"
    assert free_path(file) == file
    file.touch()
    (tmp_path / "a.b-2.csv").touch()
    assert free_path(file).name == "a.b-3.csv"
    folder.mkdir()
    assert free_path(folder).name == "a.b-2"
    link.symlink_to("nowhere")
    assert free_path(link).name == "gone-2"
