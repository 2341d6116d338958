from pathlib import Path

import numpy as np
import pytest
import torch

from conr.density import Bins, LabelDensity
from conr.report.histogram import histogram_picture, terminal_histogram


def density(counts: list[int], edges: list[float]) -> LabelDensity:
    labels = torch.tensor(edges[:-1]).repeat_interleave(torch.tensor(counts))
    return LabelDensity(many=10, few=4).fit(labels, Bins(edges))


def test_a_row_per_bin_with_length_by_count_and_glyph_by_region() -> None:
    text = terminal_histogram(density([20, 8, 0, 1], [0, 5, 10, 15, 20]), "age (years)")
    assert text.plain.splitlines() == [
        "age (years): training samples from each label to the next one shown",
        " 0 " + "█" * 50 + " 20",
        " 5 " + "▓" * 20 + " 8",
        "10  0",
        "15 " + "▒" * 2 + " 1",
        "█ many-shot   ▓ median-shot   ▒ few-shot",
    ]


def test_many_bins_share_rows() -> None:
    counts = [12, 2, 1] * 40
    text = terminal_histogram(density(counts, [float(edge) for edge in range(121)]), "age").plain.splitlines()
    assert len(text) == 42
    assert text[1] == "  0 " + "█" * 40 + "▒" * 10 + " 15"
    assert text[40].split()[0] == "117"


def test_several_dimensions_are_shown_one_by_one() -> None:
    labels = torch.tensor([[0.5, 0.5]] * 12 + [[0.5, 1.5]] * 5 + [[1.5, 1.5]])
    two = LabelDensity(many=10, few=4).fit(labels, Bins([[0, 1, 2], [0, 1, 2]]))
    text = terminal_histogram(two, "gaze").plain.splitlines()
    assert text[:3] == [
        "gaze [0]: training samples from each label to the next one shown",
        "0 " + "█" * 50 + " 17",
        "1 " + "▒" * 3 + " 1",
    ]
    assert text[3:6] == [
        "gaze [1]: training samples from each label to the next one shown",
        "0 " + "█" * 50 + " 12",
        "1 " + "▓" * 25 + " 6",
    ]


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("b.svg", b"<?xml"), ("deep/c.pdf", b"%PDF")])
def test_the_ending_names_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    out = histogram_picture(density([20, 8, 1], [0, 5, 10, 15]), "age", tmp_path / name, title="labels")
    assert out == tmp_path / name
    assert out.read_bytes().startswith(start)


def test_a_wrong_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="xyz"):
        histogram_picture(density([20, 8, 1], [0, 5, 10, 15]), "age", tmp_path / "a.xyz", title="labels")


def test_counts_of_all_bins_are_shown() -> None:
    counts = np.random.default_rng(0).integers(0, 30, 77).tolist()
    text = terminal_histogram(density(counts, [float(edge) for edge in range(78)]), "age").plain.splitlines()
    assert sum(int(row.split()[-1]) for row in text[1:-1]) == sum(counts)
