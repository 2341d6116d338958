import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import conr
from conr import _extras
from conr._notes import show_warnings_as_notes
from conr.cli.main import VERBS, main


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {verb} " in printed for verb in VERBS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"conr {conr.__version__}\n"


def test_python_runs_the_package_as_the_command() -> None:
    told = subprocess.run([sys.executable, "-m", "conr", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"conr {conr.__version__}\n"


def test_a_note_is_printed_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    show_warnings_as_notes()
    for text in ("one\n thing", "one thing", "another"):
        warnings.showwarning(text, UserWarning, "file.py", 1)
    assert capsys.readouterr().err == "note: one thing\nnote: another\n"


def test_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert {"rotated-digits-conr", "rotated-digits-vanilla", "abalone-conr"} <= set(capsys.readouterr().out.split())


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "conr.cli.main", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_ctrl_c_ends_without_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def press(options: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("conr.cli.tune.search", press)
    monkeypatch.setattr("conr.cli.report.report", press)
    assert main(["tune"]) == main(["report"]) == 130
    assert capsys.readouterr().err == "\nconr tune: stopped; repeat the command to continue\n\nconr report: stopped\n"


def test_a_training_that_ctrl_c_has_stopped_says_how_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=2", "--trainer.log_every_n_steps=1"]
    callback = "--trainer.callbacks=tests.training.pressing.Pressing"
    before = signal.getsignal(signal.SIGINT)
    assert main(["fit", "--config=abalone-vanilla", *quick, callback, f"--output.root={tmp_path}"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    run = tmp_path / "abalone" / "vanilla" / "seed-0"
    assert capsys.readouterr().err.endswith(f"\nconr fit: stopped; to continue: conr fit --resume {run}\n")
    assert main(["fit", "--resume", str(run), "--trainer.enable_progress_bar=false"]) == 0
    assert "1" in {row.partition(",")[0] for path in run.rglob("metrics.csv") for row in path.read_text().split()}


def test_an_unknown_verb_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repport"]) == 2
    assert "conr repport: verb: expected one of 'demo'" in (message := capsys.readouterr().err)
    assert "did you mean 'report'?" in message


def test_errors_are_one_line_and_a_traceback_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["report", "nowhere"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("conr report: expected the folder of a run, or one above it, found nothing at nowhere\n")
    assert "Traceback" not in message
    monkeypatch.setenv("CONR_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        main(["report", "nowhere"])


def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extras, "find_spec", lambda name: None if name in ("lightning", "rich") else object())
    assert main(["report", "runs"]) == 2
    expected = "conr report needs lightning, rich, not installed here: pip install 'conr[train]'"
    assert expected in capsys.readouterr().err


SCRIPT = """
import sys, warnings
from conr.cli.main import main
try:
    main()
except SystemExit:
    warnings.warn("said in\\ntwo lines")
    warnings.warn("said in two lines")  # from another place
    import mine
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [(["table", "fit", "--help", "--model=mine.Model"], True), (["table", "fit", "--help"], False)],
)
def test_modules_beside_the_command_are_found_where_it_names_a_class_and_warnings_are_notes(
    words: list[str], found: bool, tmp_path: Path
) -> None:
    """As the script of an installed package, whose own folder is where Python looks first."""
    (tmp_path / "mine.py").write_text("print('mine was imported')")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "conr"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines().count("note: said in two lines") == 1
    assert ("mine was imported" in done.stdout) == found
    assert ("No module named 'mine'" in done.stderr) != found


SHADOWS = (
    *("lightgbm", "xgboost", "catboost", "pandas", "numexpr", "bottleneck", "yaml", "ruamel", "joblib", "numpy"),
    *("torch", "sklearn", "tensorboardX", "wandb", "omegaconf", "rich", "jinja2", "optuna", "ray", "PIL", "orjson"),
)


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A folder with a table, and with files of the names of packages."""
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{row},{row % 7}\n" for row in range(80)))
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("open('EXECUTED', 'a').write(__name__)\n")
    return tmp_path


def run_in(folder: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "EXECUTED").exists()
    return done.stdout


def test_no_file_of_the_current_folder_runs_whatever_it_is_called(shadows: Path) -> None:
    assert "suggest" in run_in(shadows, "-m", "conr", "inspect", "t.csv", "--target=b").lower()


PLACES = """
import runpy, sys
sys.argv = ["conr", "--version"]
try:
    runpy.run_module("conr", run_name="__main__")
except SystemExit:
    from joblib import Parallel, delayed
find = "getattr(__import__('importlib.util').util.find_spec({!r}), 'origin', None)"
calls = [delayed(eval)(find.format(name)) for name in FILES]
print([eval(*call[1]) for call in calls] + Parallel(2)(calls))
"""


def test_a_command_and_its_workers_look_for_no_module_in_the_current_folder(shadows: Path) -> None:
    found = run_in(shadows, "-c", f"FILES = {SHADOWS}\n{PLACES}").splitlines()[-1]
    assert "numpy" in found
    assert str(shadows) not in found
