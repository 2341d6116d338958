"""The memory that the page of NYUD2-DIR reports is what the benchmark has measured."""

import json

from docs.tables import ROOT

PAGE = (ROOT / "docs" / "datasets" / "nyud2-dir.md").read_text(encoding="utf-8")
CASES = json.loads((ROOT / "benchmarks" / "results" / "dense_memory.json").read_text())["cases"]
FORMS = {"none": "none", "pixel": "2,048 pixels", "image": "whole images"}


def test_the_table_has_a_row_per_case() -> None:
    for case in CASES:
        numbers = f"{case['images']} | {case['saved_for_backward_mib']:,.0f} | {case['peak_rss_mib']:,.0f}"
        assert f"| {case['backbone']} | {FORMS[case['regularizer']]} | {numbers} |" in PAGE


def test_the_text_says_what_sampled_pixels_and_the_process_itself_take() -> None:
    saved = {
        (case["backbone"], case["regularizer"]): case["saved_for_backward_mib"] for case in CASES if case["images"] == 8
    }
    for backbone in ("resnet50", "mobilenetv3_small_050"):
        added = saved[backbone, "pixel"] - saved[backbone, "none"]
        assert f"Sampling 2,048 pixels adds {added:.1f} MiB" in PAGE
        before = [case["peak_rss_before_mib"] for case in CASES if case["backbone"] == backbone]
        assert f"{sum(before) / len(before):,.0f} MiB" in PAGE
