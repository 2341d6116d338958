"""The documentation site builds without a warning, its links lead somewhere, and nothing is loaded from elsewhere."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docs.check_site import check_site, main
from docs.page_hook import on_page_content

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_site_is_whole_and_stands_alone(site: Path) -> None:
    wrong, others = check_site(site)
    assert wrong == []
    assert others  # the theme's own, at least: links are seen at all
    assert "var __index" in (site / "search/search_index.js").read_text()[:40]  # the search of pages opened as files
    assert "unpkg" not in (site / "index.html").read_text()


def test_formulas_and_examples_of_docstrings_are_drawn(site: Path) -> None:
    assert "<math" in (site / "methods/conr.html").read_text()
    reference = (site / "reference/losses.html").read_text()
    assert "arithmatex" not in reference
    assert "<blockquote>" not in reference  # what a doctest becomes if it is not taken for code
    assert reference.count("&gt;&gt;&gt; ") > 20


def test_what_is_wrong_with_a_site_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">One</h1><a href="#top">a</a><a href="#bottom">b</a><a href="deep/two.html#here">c</a>'
        '<a href="deep/two.html#there">d</a><a href="three.html">e</a><a href="https://elsewhere.org/x">f</a>'
        '<script src="https://elsewhere.org/code.js"></script><img src="data:image/png;base64,"><a href="deep/">g</a>'
    )
    (tmp_path / "deep/two.html").write_text('<p id="here"></p><a href="../index.html#top">a</a><img src="no.png">')
    (tmp_path / "one.css").write_text("@import 'https://elsewhere.org/a.css'; p { background: url(here.png) }")
    wrong, others = check_site(tmp_path)
    assert wrong == [
        "deep/two.html: no.png: there is no such file",
        "index.html: loads https://elsewhere.org/code.js from another host",
        "index.html: #bottom: index.html has no anchor #bottom",
        "index.html: deep/two.html#there: two.html has no anchor #there",
        "index.html: three.html: there is no such file",
        "index.html: deep/: there is no such file",
        "one.css: loads https://elsewhere.org/a.css from another host",
    ]
    assert others == ["https://elsewhere.org/x"]
    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "https://elsewhere.org/x" in said.out
    assert "7 wrong" in said.err
    with pytest.raises(FileNotFoundError, match="expected a built site"):
        check_site(tmp_path / "deep/nothing")


def test_cells_code_and_pictures_are_marked(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(PNG + (1600).to_bytes(4) + (500).to_bytes(4))
    (tmp_path / "high.png").write_bytes(PNG + (700).to_bytes(4) + (600).to_bytes(4))
    page, config = SimpleNamespace(file=SimpleNamespace(src_path="page.md")), SimpleNamespace(docs_dir=str(tmp_path))
    text = (
        '<td style="text-align: right">12.3 ± 0.4</td><td>' + "word " * 20 + "</td><td>between the two of these</td>"
        '<p><img alt="" src="wide.png"></p><p><img alt="" src="high.png">\n<img alt="" src="high.png"></p>'
        '<code>--out</code><pre><span></span><code>kept</code></pre><span class="arithmatex">\\(x_1\\)</span>'
    )
    changed = on_page_content(text, page=page, config=config)
    assert '<td style="text-align: right" class="short">12.3 ± 0.4</td><td class="long">' in changed
    assert '<td class="middle">between' in changed
    assert '<div class="picture wide"><img alt="" src="wide.png"></div>' in changed
    assert '<div class="pictures"><div class="picture"><img' in changed
    assert '<code class="short">--out</code><pre><span></span><code>kept</code>' in changed
    assert "<msub><mi>x</mi><mn>1</mn></msub>" in changed
    (tmp_path / "wide.png").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="expected a PNG file"):
        on_page_content(text, page=page, config=config)
