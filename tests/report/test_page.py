import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from conr.report import picture, write_report
from conr.report.pictures import embed_features
from conr.runs.failures import Failure
from conr.runs.outputs import Outputs

MakeRun = Callable[..., Path]  # the fixture make_run

VOID = {"meta", "br", "hr", "img", "link", "input"}
MINUS = "\N{MINUS SIGN}"


class Page(HTMLParser):
    """Checks that every element is closed in order; collects ids, references, and the text outside of drawings."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"svg", "style"} & set(self.open):
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def report(folder: Path, **arguments: Any) -> Page:
    return Page(write_report([folder], folder / "out" / "report.html", **arguments))


def test_page_of_two_methods(two_methods_page: Path) -> None:
    page = Page(two_methods_page)
    assert "<title>A &amp; B</title>" in page.source
    assert f"few-shot falls from 33.00 to 26.00 degrees ({MINUS}21.2 %)" in page.text
    assert "vanilla 3 10.00 ± 0.00 4.00 ± 0.00 8.00 ± 0.00 33.00 ± 3.00" in page.text
    cells = f"conr 3 9.00 ± 0.00 {MINUS}10.0 % 4.20 ± 0.00 +5.0 % 8.00 ± 0.00 0.0 % 26.00 ± 1.00 {MINUS}21.2 %"
    assert cells in page.text
    assert f'<td class="best">26.00 ± 1.00<small class="better">{MINUS}21.2 %</small></td>' in page.source
    assert '<td>4.20 ± 0.00<small class="worse">+5.0 %</small></td>' in page.source
    assert "all 12 samples many-shot 3 samples median-shot 3 samples few-shot 3 samples" in page.text
    # gm is half the MAE, bmae 1.1 times, rmse 1.5 times: few-shot means 16.5 and 13, 36.3 and 28.6, 49.5 and 39
    assert re.search(r"Geometric mean.*16\.50 ± 1\.50.*13\.00 ± 0\.50.*Balanced MAE.*36\.30 ± 3\.30", page.text)
    assert re.search(r"RMSE.*49\.50 ± 4\.50.*39\.00 ± 1\.50", page.text)
    assert "digits conr 2 2 2 9.5 val/mae 12.3 s run-5" in page.text
    assert "model.coefficient not set 4.0" in page.text
    assert "conr 0.1.0, torch 2.6.0" in page.text
    titles = re.findall(r"<h4>(.*?)</h4>", page.source)
    assert titles == [
        "Error over angle: vanilla and conr",
        "Training labels",
        "Features: vanilla, seed 0",
        "Features: conr, seed 0",
        "Predictions: vanilla, seed 0",
        "Predictions: conr, seed 0",
        "Validation MAE",
        "Few-shot validation MAE",
        "Training loss",
    ]
    assert page.count("figure") == page.count("figcaption") == page.count("svg") == 9


def test_page_needs_nothing_from_elsewhere(two_methods_page: Path) -> None:
    page = Page(two_methods_page)
    assert set(re.findall(r"""https?://[^"'\s]+""", page.source)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not re.findall(r"url\((?!#)|@import", page.source)
    for _, attributes in page.elements:
        target = attributes.get("src") or attributes.get("href") or attributes.get("xlink:href") or "#"
        assert target.startswith(("#", "data:image/png;base64,"))


def test_ids_are_unique_and_references_exist(two_methods_page: Path) -> None:
    page = Page(two_methods_page)
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', page.source))
    assert used <= set(ids)
    assert len(used) > 10  # the pictures do have clip paths and markers


def test_pictures_follow_the_page(two_methods_page: Path) -> None:
    source = Page(two_methods_page).source
    assert "currentColor" in source
    assert "#010203" not in source
    assert "prefers-color-scheme: dark" in source
    for svg in re.findall(r"<svg[^>]*>", source):
        assert re.search(r'role="img" aria-label="[^"]{10,}" viewBox="[^"]+">$', svg)
        assert " width=" not in svg


def test_tables_are_accessible(two_methods_page: Path) -> None:
    for tag, attributes in Page(two_methods_page).elements:
        if tag == "th":
            assert attributes.get("scope") in ("col", "row", "rowgroup")


def test_same_runs_give_the_same_words(two_methods: Path, two_methods_page: Path) -> None:
    assert report(two_methods, title="A & B").text == Page(two_methods_page).text
    assert [path.name for path in (two_methods / "out").iterdir()] == ["report.html"]


def test_single_method_with_one_seed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("only", None, kept=False, checkpoint={"path": None, "epoch": None, "monitor": "val/mae", "value": None})
    page = report(tmp_path)
    dash = "\N{EN DASH}"
    assert "There is no other method to compare only with." in page.text
    assert "only 1 10.00 4.00 8.00 30.00" in page.text
    assert f"digits only {dash} 2 {dash} {dash} val/mae 12.3 s" in page.text
    assert "Settings in which the methods differ" not in page.text
    assert '<small class="better">' not in page.source


def test_missing_region(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", 0, (10.0, 4.0, 8.0, None), kept=False)
    make_run("conr", 0, (9.0, 4.0, 8.0, None), kept=False)
    text = report(tmp_path).text
    assert "few-shot 0 samples" in text
    assert "nan" not in text.lower().split()


def test_several_datasets(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("vanilla", kept=False)
    make_run("vanilla", dataset="rings", label={"name": "rings", "unit": ""}, kept=False)
    page = report(tmp_path)
    assert "2 datasets, 2 runs." in page.text
    assert re.findall(r'<section id="(.*?)">\s*<h2>(.*?)</h2>', page.source) == [
        ("dataset-1", "digits"),
        ("dataset-2", "rings"),
    ]
    assert '<a href="#dataset-2">rings</a>' in page.source


def test_names_cannot_inject_anything(make_run: MakeRun, tmp_path: Path) -> None:
    evil = "<script>alert('1')</script>"
    make_run("vanilla", label={"name": 'a"><script>', "unit": "$x$"})
    make_run(evil, config=f'model: "{evil}"\n', hardware={"device": evil})
    make_run("_$private_", error=3.0)
    page = report(tmp_path, title=evil)
    assert "script" not in {tag for tag, _ in page.elements}
    assert evil in page.text
    assert "_$private_</text>" in page.source.replace("\N{ZERO WIDTH SPACE}", "")  # in the legends too


def test_what_is_missing_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    for method in ("vanilla", "conr"):
        run = make_run(method)
        (run / "outputs.npz").unlink()
        (run / "csv/version_0/metrics.csv").unlink()
        (run / "config.yaml").unlink()
    page = report(tmp_path)
    assert page.count("svg") == 1  # the training labels
    assert page.text.count("Not drawn: the runs kept no predictions.") == 1
    assert page.text.count("Not drawn: the run kept no features.") == 2
    assert page.text.count("Not drawn: the run kept no predictions.") == 2
    assert page.text.count("Not drawn: the runs did not log it.") == 3
    assert "The first run of conr kept no configuration." in page.text


def test_runs_that_differ_in_more_than_the_seed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("conr", 0, kept=False)
    make_run("conr", 1, config="model:\n  depth: 4\n", kept=False)
    assert "The runs of conr differ in more than the seed: model.depth." in report(tmp_path).text


def test_broken_configuration(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("conr", config="model: [1\n")
    with pytest.raises(ValueError, match=re.escape(f"{run / 'config.yaml'}: expected YAML")):
        report(tmp_path)


def test_several_label_dimensions(make_run: MakeRun, tmp_path: Path) -> None:
    bins = {
        "edges": [[0.0, 20.0, 40.0], [0.0, 40.0], [0.0, 40.0]],
        "train_counts": [200, 15],
        "regions": ["many", "few"],
    }
    run = make_run("conr", bins=bins)
    outputs = Outputs.read(run)
    three = np.stack([outputs.labels] * 3, axis=1)
    outputs._replace(labels=three, predictions=three, feature_labels=three).write(run)
    page = report(tmp_path)
    assert "Pictures over the label axis are left out: the label has 3 dimensions." in page.text
    assert page.count("svg") == 3  # the training curves
    with pytest.raises(ValueError, match="paths: expected labels of one dimension, got 3 in digits"):
        picture([tmp_path], tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((9, 4)), "features: expected at least 10 samples, got 9"),
        (np.ones((12, 4)), "features: expected at least two dimensions and features that differ"),
        (np.arange(12.0)[:, None], "features: expected at least two dimensions"),
        (np.full((12, 4), np.inf), "features: expected finite numbers"),
    ],
)
def test_features_that_cannot_be_placed(features: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed_features(features, np.arange(len(features)))


@pytest.mark.parametrize("tsne", [True, False])
def test_embedding_keeps_clusters_apart(tsne: bool) -> None:
    """Two clusters far apart in 8 dimensions: each point's nearest neighbour in the plane is of its own cluster."""
    labels = np.arange(40) % 2
    features = np.random.default_rng(0).normal(size=(40, 8)) + 20 * labels[:, None]
    positions, kept, titles = embed_features(features, labels, tsne=tsne)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2) + np.diag(np.full(40, np.inf))
    assert kept.tolist() == labels.tolist()
    assert (labels[distances.argmin(axis=1)] == labels).all()
    assert titles[0] == ("" if tsne else "99% of the variance")


def test_principal_components_by_hand() -> None:
    """Points on two axes with variances 25 and 1, turned by 90 degrees of the space and moved."""
    plane = np.asarray([[5.0, 1], [5, -1], [-5, 1], [-5, -1]] * 3)
    features = np.zeros((12, 3))
    features[:, [2, 0]] = plane + 7
    positions, _, titles = embed_features(features, np.arange(12))
    np.testing.assert_allclose(positions, plane, atol=1e-5)
    assert titles == ("96% of the variance", "4% of the variance")


def test_a_page_in_the_folder_of_its_run_names_no_folder(make_run: MakeRun) -> None:
    """As of a table model, whose folder has another name while it is written."""
    run = make_run("vanilla", folder=".digits.k3jd", kept=False)
    text = Page(write_report([run], run / "report.html")).text
    assert "12.3 s this page's" in text
    assert "k3jd" not in text
    assert "Epochs count from 1." in text


def test_picture(two_methods: Path, make_run: MakeRun) -> None:
    out = picture([two_methods], two_methods / "docs" / "picture.png")
    pixels = imread(out)
    assert pixels.shape[1] == 1600
    assert (pixels[0, 0] == 1).all()  # opaque white, whatever is behind it
    make_run("vanilla", dataset="rings")
    with pytest.raises(ValueError, match="paths: expected runs of one dataset, got digits, rings"):
        picture([two_methods], out)


def test_picture_without_predictions(make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("conr") / "outputs.npz").unlink()
    with pytest.raises(ValueError, match="paths: expected runs that kept their predictions, got none in digits"):
        picture([tmp_path], tmp_path / "picture.png")


def test_broken_result_is_named(two_methods: Path, make_run: MakeRun) -> None:
    path = make_run("conr", 7) / "result.json"
    content = json.loads(path.read_text())
    del content["bins"]["regions"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f"{path}: expected the key 'bins.regions'")):
        report(two_methods)


def test_runs_that_failed_stand_first_with_their_errors(make_run: MakeRun) -> None:
    finished = make_run("vanilla", kept=False)
    root = finished.parents[1]
    broken = root / "digits" / "conr" / "seed-3"
    Failure.of(ValueError("labels: expected <numbers>"), dataset="digits", method="conr", seed=3).write(broken)
    Failure.of(ValueError("an earlier attempt"), dataset="digits", method="vanilla", seed=0).write(finished)
    page = report(root)
    assert "1 run failed" in page.text
    assert "ValueError: labels: expected <numbers>" in page.text
    assert "digits/conr/seed-3" in page.text
    assert "an earlier attempt" not in page.text  # it has a result now
    assert page.text.index("1 run failed") < page.text.index("Shot regions")


def test_a_page_without_failures_does_not_speak_of_them(make_run: MakeRun) -> None:
    assert "failed" not in report(make_run("vanilla", kept=False).parents[1]).text
