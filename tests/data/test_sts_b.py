import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.held import held_inputs
from tests.data.miniature.sts_b import HEADER, write_glove, write_sts_b
from torch import Tensor

from conr.data import STSB, STSBWords, WordPairs
from conr.data.sts_b import AUTHORS_REGIONS, read_pairs
from conr.density import REGIONS

GOOD = "0\tmain\tMSRvid\t2012\t1\tnone\tnone\tA man eats.\tA dog runs.\t0.5"


class LetterCounts:
    """Encodes a sentence as how often it has each of three letters."""

    encoded = 0

    def fingerprint(self) -> str:
        return "letter counts"

    def encode(self, sentences: Sequence[str]) -> Tensor:
        self.encoded += len(sentences)
        return torch.tensor([[float(sentence.count(letter)) for letter in "aet"] for sentence in sentences])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_sts_b(tmp_path / "sts-b")


def _data(root: Path, **settings: object) -> STSB:
    return STSB(str(root), encoder=LetterCounts(), cache=str(root / "cache"), **settings)  # type: ignore[arg-type]


def _file(path: Path, *rows: str) -> Path:
    path.write_bytes("\n".join([HEADER, *rows, ""]).encode())
    return path


def test_quotes_line_separators_and_carriage_returns_are_read_as_they_are(tmp_path: Path) -> None:
    odd = GOOD.replace("A man eats.", " \"A man\u2028said, \u201cno\x85' ").replace("0.5", "3.200\r")
    read = read_pairs(_file(tmp_path / "test_new.tsv", GOOD, odd), "test")
    assert read.pairs == [("A man eats.", "A dog runs."), (" \"A man\u2028said, \u201cno\x85' ", "A dog runs.")]
    assert read.ids == ["test-row-2", "test-row-3"]
    assert torch.equal(read.labels, torch.tensor([0.5, 3.2]))


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = _file(tmp_path / "test_new.tsv", GOOD)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_pairs(path, "test").ids) == 1


def _with_score(text: str) -> str:
    return GOOD.removesuffix("0.5") + text


BAD = {
    "nine columns": (GOOD.replace("\tmain", ""), "expected 10 columns separated by tabs, got 9"),
    "eleven columns": (GOOD + "\tx", "expected 10 columns separated by tabs, got 11"),
    "blank": ("", "expected 10 columns separated by tabs, got 1"),
    "NaN": (_with_score("nan"), r"score: expected a number in \[0, 5\], got 'nan'"),
    "infinite": (_with_score("inf"), r"score: expected a number in \[0, 5\], got 'inf'"),
    "no number": (_with_score("high"), r"score: expected a number in \[0, 5\], got 'high'"),
    "above": (_with_score("5.001"), r"score: expected a number in \[0, 5\], got '5.001'"),
    "below": (_with_score("-0.1"), r"score: expected a number in \[0, 5\], got '-0.1'"),
    "no words": (GOOD.replace("A dog runs.", "  "), "expected a sentence with words, got '  '"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_unusable_row_is_named_or_left_out(tmp_path: Path, kind: str) -> None:
    row, message = BAD[kind]
    path = _file(tmp_path / "train_new.tsv", GOOD, row, GOOD)
    with pytest.raises(ValueError, match=rf"train_new\.tsv, row 3: {message} \(skip_bad leaves such rows out\)"):
        read_pairs(path, "train")
    with pytest.warns(UserWarning, match=rf"1 of 3 rows left out; the first is row 3: {message}"):
        assert read_pairs(path, "train", skip_bad=True).ids == ["train-row-2", "train-row-4"]


def test_bytes_that_are_no_utf_8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train_new.tsv"
    path.write_bytes(f"{HEADER}\n{GOOD}\n".encode() + GOOD.replace("dog", "d\xf6g").encode("latin-1"))
    with pytest.raises(ValueError, match=r"train_new\.tsv, row 3: expected UTF-8, got b'\\xf6g r'"):
        read_pairs(path, "train")


def test_a_missing_file_an_empty_one_and_a_wrong_header_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected the val split of STS-B-DIR, found no file .*dev_new\.tsv"):
        read_pairs(tmp_path / "dev_new.tsv", "val")
    with pytest.raises(ValueError, match=r"dev_new\.tsv: expected samples in the val split, got none"):
        read_pairs(_file(tmp_path / "dev_new.tsv"), "val")
    for content in ("", "sentence1\tsentence2\tscore\n", HEADER.replace("score", "label") + "\n"):
        (tmp_path / "dev_new.tsv").write_text(content)
        with pytest.raises(ValueError, match=r"dev_new\.tsv, row 1: expected a header of 10 columns"):
            read_pairs(tmp_path / "dev_new.tsv", "val")
    with pytest.raises(ValueError, match="expected usable rows, got none of 1"):
        read_pairs(_file(tmp_path / "dev_new.tsv", BAD["NaN"][0]), "val", skip_bad=True)


def _authors_bin(label: float) -> int:
    edges = np.linspace(0, 5, 51).astype(np.float32)
    return 49 if label == 5 else next(i for i, edge in enumerate(edges) if edge > np.float32(label)) - 1


def test_bins_are_those_of_the_authors(root: Path) -> None:
    bins = _data(root).splits.bins
    texts = [f"{value / 1000:.3f}" for value in range(0, 5001, 25)]
    index = bins.index(torch.tensor([float(text) for text in texts]))
    assert len(bins) == 50
    assert index.tolist() == [_authors_bin(float(text)) for text in texts]
    # Where float64 would put a label of 0.6 into the bin below.
    assert bins.index(torch.tensor([0.0, 0.599, 0.6, 1.2, 3.3, 4.999, 5.0])).tolist() == [0, 5, 6, 12, 33, 49, 49]


def test_labels_are_float32_so_that_tenths_lie_on_their_edge(tmp_path: Path) -> None:
    rows = [_with_score(f"{tenth / 10:.3f}") for tenth in range(51)]
    labels = read_pairs(_file(tmp_path / "train_new.tsv", *rows), "train").labels
    assert labels.dtype is torch.float32


def test_the_authors_regions_as_published() -> None:
    by_region = {name: [b for b, region in enumerate(AUTHORS_REGIONS) if region == name] for name in REGIONS}
    assert by_region["many"] == [
        0,
        *(10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48),
        49,
    ]
    assert by_region["median"] == [2, 4, 6, 8, 27, 35, 37]
    assert by_region["few"] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 29, 31, 33, 39, 41, 43, 45, 47]


def test_shot_regions_are_the_authors_or_follow_the_counts(root: Path) -> None:
    authors = _data(root).shot_density()
    assert [REGIONS[region] for region in authors.region_of_bin.tolist()] == list(AUTHORS_REGIONS)
    counts = _data(root, shots="counts").shot_density()
    assert int(counts.counts.sum()) == 96
    assert counts.region_of_bin[0] == 1  # no score is in more than 100 of the 96 pairs, 0 is in at least 20
    assert (counts.region_of_bin == 2).sum() > 40
    with pytest.raises(
        ValueError, match=r"shots: expected one of 'authors', 'counts', got 'author'; did you mean 'aut"
    ):
        _data(root, shots="author")


def test_inputs_are_the_vectors_of_both_sentences(root: Path) -> None:
    data = _data(root)
    for split, dataset, count in zip(
        ("train", "val", "test"), (data.splits.train, data.splits.val, data.splits.test), (96, 40, 40), strict=True
    ):
        read = read_pairs(root / {"train": "train_new.tsv", "val": "dev_new.tsv", "test": "test_new.tsv"}[split], split)
        assert held_inputs(dataset).shape == (count, 2, 3)
        for position in (0, count // 2, count - 1):
            expected = LetterCounts().encode(read.pairs[position])
            assert torch.equal(held_inputs(dataset)[position], expected)
        assert torch.equal(dataset.labels, read.labels)
        assert dataset.ids == read.ids


def test_sentences_are_encoded_once(root: Path) -> None:
    first, second = _data(root), _data(root)
    assert isinstance(first.encoder, LetterCounts)
    assert isinstance(second.encoder, LetterCounts)
    assert torch.equal(held_inputs(first.splits.test), held_inputs(second.splits.test))
    distinct = {
        sentence
        for part in ("train", "dev", "test")
        for line in (root / f"{part}_new.tsv").read_text().splitlines()[1:]
        for sentence in line.split("\t")[7:9]
    }
    assert (first.encoder.encoded, second.encoder.encoded) == (len(distinct), 0)


def test_words_of_both_sentences(root: Path, tmp_path: Path) -> None:
    data = STSBWords(str(root), vectors=str(write_glove(tmp_path / "glove.txt")), max_words=5)
    inputs, label = data.splits.val[3]
    assert isinstance(inputs, dict)
    assert (inputs["words"].shape, inputs["lengths"].tolist()) == ((2, 5, 6), [5, 5])
    assert label == read_pairs(root / "dev_new.tsv", "val").labels[3]
    batch, labels = next(iter(data.val_dataloader()))
    assert isinstance(batch, dict)
    assert (batch["words"].shape, batch["lengths"].shape, labels.shape) == ((40, 2, 5, 6), (40, 2), (40,))
    assert data.shot_density().region_of_bin.tolist() == _data(root).shot_density().region_of_bin.tolist()


def test_the_vocabulary_keeps_the_commonest_words(root: Path, tmp_path: Path) -> None:
    data = STSBWords(str(root), vectors=str(write_glove(tmp_path / "glove.txt")), vocabulary=3)
    train = data.splits.train
    assert isinstance(train, WordPairs)
    assert len(torch.unique(train.vectors, dim=0)) == 5  # "a", "A", ".", unknown and filling
    with pytest.raises(ValueError, match="vocabulary: expected a number of at least 1, got 0"):
        STSBWords(str(root), vectors="glove.txt", vocabulary=0)
    with pytest.raises(ValueError, match="max_words: expected a number of at least 1, got 0"):
        STSBWords(str(root), vectors="glove.txt", max_words=0)


def test_problems_are_all_reported(root: Path) -> None:
    assert _data(root).problems() == [
        f"{split}: expected {published} samples as published, got {got}"
        for split, published, got in (("train", 5249, 96), ("val", 1000, 40), ("test", 1000, 40))
    ]
    (root / "dev_new.tsv").unlink()
    _file(root / "test_new.tsv", BAD["NaN"][0])
    train, val, test = _data(root).problems()
    assert "found no file" in val
    assert "test_new.tsv, row 2: score" in test
    assert "train: expected 5249" in train


def test_the_headline_is_the_squared_error(root: Path) -> None:
    data = _data(root)
    metrics = data.metrics(data.shot_density(), "test/")
    labels = data.splits.test.labels
    metrics.update(labels + 0.5, labels)
    values = metrics.compute()
    assert (data.headline, data.name, data.label_name) == ("mse", "sts-b-dir", "similarity")
    assert values["test/mse"].item() == pytest.approx(0.25)
    assert {f"test/{name}" for name in ("mae", "gm", "pearson", "spearman", "mse_few", "pearson_many")} <= set(values)
    assert not math.isnan(values["test/mse_few"].item())
