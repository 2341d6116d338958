"""What the start pages say in words about the demo is what its result files say."""

import json
import re

from docs.tables import ROOT

from conr.cli.demo import EPOCHS, SEEDS, SHORT
from conr.methods.presets import preset_config
from conr.runs.runs import Run, read_runs

DEMO = ROOT / "results" / "demo"


def named(run: Run) -> tuple[str, str]:
    return run.result.dataset, run.result.method


def test_the_demo_ran_with_its_settings_and_the_presets_and_names_no_folder_of_a_machine() -> None:
    runs = read_runs([DEMO])
    assert len(runs) == 4 * SEEDS
    for run in runs:
        config, preset = run.config, preset_config("-".join(named(run)))
        assert config is not None
        assert not re.search(r"[ '\"]/\w", json.dumps(config))
        assert config["trainer"]["max_epochs"] == EPOCHS
        model, wanted = config["model"], preset["model"]
        short = dict(SHORT)
        assert model["scheduler"] == short["model.scheduler"]
        assert model["optimizer"]["init_args"]["lr"] == short["model.optimizer.init_args.lr"]
        for name, term in wanted.get("regularizers", {}).items():
            assert model["regularizers"][name]["coefficient"] == term["coefficient"]
