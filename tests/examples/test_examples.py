"""The examples run as they are, on little data: one epoch each, and torchrun with two processes."""

import difflib
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
ERROR = re.compile(r"(?:error|MAE|RMSE)(?: with(?:out)? ConR:? *)? *(\d+\.\d+)")

LITTLE = {"gaze_angles": {"samples": 1000}}


def errors(printed: str) -> list[float]:
    return [float(number) for number in ERROR.findall(printed)]


@pytest.mark.filterwarnings("ignore:.*treespec")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "two_processes"])
def test_an_example_trains_and_says_what_rare_labels_gained(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    importlib.import_module(f"examples.{name}").main(epochs=1, **LITTLE.get(name, {}))
    printed = capsys.readouterr().out
    found = errors(printed)
    assert len(found) == 2, printed  # before and after; or all and few-shot
    assert len(set(found)) == 2, printed
    assert all(error > 0 for error in found), printed
    assert list(tmp_path.iterdir()) == []


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "two_processes.py")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    without, with_conr = errors(done.stdout)
    assert done.stdout.count("on 2 processes") == 2
    assert without != with_conr


def test_conr_is_five_more_lines() -> None:
    def code(name: str) -> list[str]:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        return text[text.index("import torch\n") :].splitlines()

    changes = difflib.ndiff(code("plain_pytorch_before.py"), code("plain_pytorch_after.py"))
    changed = [line for line in changes if not line.startswith("  ")]
    assert len(changed) == 5
    assert all(re.search(rf"^\+ .*# \+ {number}\b", line) for number, line in enumerate(changed, start=1))


def test_the_page_shows_every_example_and_marks_the_five_lines() -> None:
    page = (ROOT / "docs" / "how-to" / "own-loop.md").read_text(encoding="utf-8")
    shown = re.findall(r'^--8<-- "examples/(\w+)\.py"$', page, re.MULTILINE)
    assert sorted(shown) == [name for name in NAMES if name != "plain_pytorch_before"]
    lines = (EXAMPLES / "plain_pytorch_after.py").read_text(encoding="utf-8").splitlines()
    marked = [str(number) for number, line in enumerate(lines, start=1) if re.search(r"# \+ \d", line)]
    assert f'hl_lines="{" ".join(marked)}"' in page


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_uses_only_what_is_public(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 85
    for module, names in re.findall(r"^from (conr[\w.]*) import (.+)$", text, re.MULTILINE):
        public = importlib.import_module(module).__all__
        assert set(re.findall(r"\w+", names.split("#")[0])) <= set(public), f"{module}: {names}"
