"""The examples run as they are, on little data: one epoch each, and torchrun with two processes."""

import difflib
import importlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conr import Bins, LabelDensity
from conr.data import ArrayDataset, RotatedDigits, Splits

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
ERROR = re.compile(r"(?:error|MAE|RMSE)(?: with(?:out)? ConR:? *)? *(\d+\.\d+)")

LITTLE = {"gaze_angles": {"samples": 1000}}


def errors(printed: str) -> list[float]:
    return [float(number) for number in ERROR.findall(printed)]


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sixth of the digits to train on."""
    load = RotatedDigits.load

    def less(self: RotatedDigits) -> Splits:
        splits = load(self)
        train = splits.train
        assert isinstance(train, ArrayDataset)
        return replace(splits, train=ArrayDataset(train.inputs[:500], train.labels[:500], train.ids[:500]))

    monkeypatch.setattr(RotatedDigits, "load", less)


@pytest.mark.usefixtures("few_digits")
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


def test_a_step_of_the_hugging_face_trainer_is_that_of_the_mean_of_its_batches(tmp_path: Path) -> None:
    example = importlib.import_module("examples.hf_trainer")
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    labels = torch.arange(64) % (example.HIGHEST + 1.0)
    density = LabelDensity(Bins.by_width(width=1, low=0, high=example.HIGHEST + 1)).fit(labels)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(
        vocab_size=example.WORDS, num_labels=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **sizes
    )
    settings = {
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "max_steps": 1,
        "logging_steps": 1,
    }
    quiet = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    steps = {}
    for batches in (1, 4):
        transformers.set_seed(0)
        trainer = example.ConRTrainer(
            transformers.AutoModelForSequenceClassification.from_config(config),
            transformers.TrainingArguments(
                str(tmp_path),
                per_device_train_batch_size=64 // batches,
                gradient_accumulation_steps=batches,
                learning_rate=0.1,
                **settings,
                **quiet,
            ),
            train_dataset=example.make_texts(labels),
            density=density,
            coefficient=0.0,  # so that the mean of four batches is that of all rows
        )
        transformers.set_seed(0)
        trainer.train()
        steps[batches] = (trainer.state.log_history[0]["loss"], trainer.model.classifier.bias.item())
    assert steps[4] == pytest.approx(steps[1], rel=1e-4)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    script = tmp_path / "short.py"
    script.write_text("from examples.two_processes import main\n\nmain(epochs=1)\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"},
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
