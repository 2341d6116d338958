from pathlib import Path

import pytest
import torch

from conr.data import WordPairs, read_word_vectors
from conr.data.sentence_pairs import WordVectors, most_common_words, split_words


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("A man is eating.", ["A", "man", "is", "eating", "."]),
        ("Don't, it's \u201cMary\u2019s\u201d!", ["Do", "n't", ",", "it", "'s", "\u201c", "Mary", "'s", "\u201d", "!"]),
        (
            "We'll pay $1,000.50 (well-known) U.S.",
            ["We", "'ll", "pay", "$", "1,000.50", "(", "well-known", ")", "U.S", "."],
        ),
        ("caf\xe9 na\xefve", ["caf\xe9", "na\xefve"]),
        (" \t ", []),
    ],
)
def test_words_and_marks(sentence: str, words: list[str]) -> None:
    assert split_words(sentence) == words


def test_the_commonest_words_come_first() -> None:
    sentences = ["b a b", "c a b", "d"]
    assert most_common_words(sentences, 3) == ["b", "a", "c"]
    assert most_common_words(sentences, 30) == ["b", "a", "c", "d"]


GLOVE = "the 1 2\n. . . 7 7\ncat 3.5 -4\nCat 9 9\ncat 8 8\n"


def test_vectors_of_wanted_words(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE)
    vectors = read_word_vectors(path, ["cat", "The", ".", "Cat", "dog"])
    assert vectors.row_of == {"cat": 2, "The": 3, "Cat": 4}  # The as the; the first cat; "." is only part of an entry
    assert vectors.vectors.tolist() == [[0, 0], [4.5, pytest.approx(7 / 3)], [3.5, -4], [1, 2], [9, 9]]
    assert vectors.vectors.dtype is torch.float32


def test_a_header_of_word2vec_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("5 2\n" + GLOVE)
    assert read_word_vectors(path, ["the"]).vectors[2].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cat 3", "line 2: expected a word and 2 numbers, got 1 numbers"),
        ("cat 3 x", "line 2: expected a word and 2 numbers: could not convert"),
        ("cat 3 nan", "line 2: expected finite numbers, got nan"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(f"the 1 2\n{line}\n")
    with pytest.raises(ValueError, match=rf"glove\.txt, {message}"):
        read_word_vectors(path, ["cat"])
    assert read_word_vectors(path, ["the"]).row_of == {"the": 2}  # lines of other words are not looked at


def test_a_missing_file_and_one_without_the_words_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected word vectors .*, found no file .*glove\.txt"):
        read_word_vectors(tmp_path / "glove.txt", ["cat"])
    (tmp_path / "glove.txt").write_text(GLOVE)
    with pytest.raises(ValueError, match=r"glove\.txt: expected vectors of at least one of 2 words, found none"):
        read_word_vectors(tmp_path / "glove.txt", ["dog", "Bird"])


VECTORS = WordVectors({"a": 2, "cat": 3}, torch.tensor([[0.0, 0.0], [5.0, 5.0], [1.0, 2.0], [3.0, 4.0]]))


def test_a_pair_of_words() -> None:
    pairs = [("a cat", "a dog a cat"), ("cat", "dog")]
    dataset = WordPairs(pairs, torch.tensor([1.0, 2.0]), ["x", "y"], vectors=VECTORS, max_words=3)
    inputs, label = dataset[0]
    assert inputs["words"].tolist() == [[[1, 2], [3, 4], [0, 0]], [[1, 2], [5, 5], [1, 2]]]
    assert (inputs["lengths"].tolist(), label.item(), len(dataset)) == ([2, 3], 1.0, 2)


def test_sentences_without_words_and_impossible_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs: expected sentences with words, got ' ' in sample 'x'"):
        WordPairs([("a", " ")], torch.tensor([1.0]), ["x"], vectors=VECTORS)
    with pytest.raises(ValueError, match="max_words: expected a number of at least 1, got 0"):
        WordPairs([("a", "a")], torch.tensor([1.0]), ["x"], vectors=VECTORS, max_words=0)
