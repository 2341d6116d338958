"""The tutorials from the first line to the last, code and commands, in an empty folder, with trainings of an epoch."""

import re
import shlex
from pathlib import Path

import pytest

from conr.cli.main import main

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHORT = {"fit": ["--trainer.max_epochs", "1"], "bench": ["--trainer.max_epochs", "1", "--jobs", "1"]}


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore:The number of training batches")  # small data
def test_a_tutorial_works_as_it_is_written(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    commands = 0
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(code, str(page), "exec"), names)  # noqa: S102  our own pages
            continue
        for line in code.splitlines():
            words = shlex.split(line)
            assert words.pop(0) == "conr"
            assert main([*words, *SHORT.get(words[0], [])]) == 0, line
            commands += 1
    assert commands >= 5
    assert list(tmp_path.rglob("report.html"))
