"""Pairs of sentences as inputs: words, their vectors from a text file, and datasets that look them up."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from conr._checks import check_number
from conr._numbers import parse_number
from conr.data.dataset import RegressionDataset

_WORD = re.compile(
    r"\w+(?=n't\b)"  # "do" of "don't"
    r"|n't\b"
    r"|'(?:s|re|ve|d|ll|m)\b"
    r"|\w+(?:[-./,:]\w+)*"  # also 1,000 and well-known
    r"|[^\w\s]"
)


class WordVectors(NamedTuple):
    """A vector for each word of a vocabulary.

    Attributes:
        row_of: row of each known word in ``vectors``.
        vectors: shape (words + 2, d), float32: row 0 is zero and fills short sentences up, row 1 stands for unknown
            words (the mean of all known ones).
    """

    row_of: dict[str, int]
    vectors: Tensor


def split_words(sentence: str) -> list[str]:
    """Words and punctuation marks of a sentence; English contractions are split ("don't" is "do", "n't")."""
    return _WORD.findall(sentence.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def most_common_words(sentences: Iterable[str], most: int) -> list[str]:
    """The ``most`` commonest words of sentences, the commonest first; of equally common ones the first seen."""
    counts = Counter(word for sentence in sentences for word in split_words(sentence))
    return [word for word, _ in counts.most_common(most)]


def read_word_vectors(path: Path, words: Iterable[str]) -> WordVectors:
    """Read the vectors of some words from a text file in the format of GloVe: a word and its numbers on each line.

    A word that the file lacks takes the vector of its lower-case form; one that lacks this too is unknown.

    Args:
        path: the file, such as ``glove.840B.300d.txt``; UTF-8, separated by single spaces. A first line of two numbers
            (word2vec's header) is passed over.
        words: the vocabulary.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line of a wanted word with another number of numbers than the first line, or with what is no
            finite number (the message names the file and the line); a file that knows none of the words.
    """
    wanted = list(words)
    forms = {form.encode() for word in wanted for form in (word, word.lower())}
    if not path.is_file():
        raise FileNotFoundError(f"expected word vectors (such as glove.840B.300d.txt), found no file {path}")
    found: dict[str, np.ndarray] = {}
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            fields = line.rstrip().split(b" ") if width == 0 else ()
            if number == 1 and len(fields) == 2:
                continue
            width = width or len(fields) - 1
            word = line.partition(b" ")[0]
            if word in forms and word.decode() not in found:
                vector = _vector(path, number, line, width)
                if vector is not None:
                    found[word.decode()] = vector
    known = [word for word in wanted if word in found or word.lower() in found]
    if not known:
        raise ValueError(f"{path}: expected vectors of at least one of {len(wanted)} words, found none")
    vectors = np.stack([found[word] if word in found else found[word.lower()] for word in known])  # (words, d)
    # NOTE[DIFF]: the released code draws a random vector for each word that GloVe lacks.
    special = np.stack((np.zeros_like(vectors[0]), vectors.mean(axis=0)))  # (2, d)
    row_of = {word: row for row, word in enumerate(known, start=2)}
    return WordVectors(row_of, torch.from_numpy(np.concatenate((special, vectors))))


def _vector(path: Path, number: int, line: bytes, width: int) -> np.ndarray | None:
    fields = line.rstrip().split(b" ")
    if len(fields) > width + 1:  # an entry of several words, as GloVe has some: not this word
        return None
    if len(fields) <= width:
        raise ValueError(f"{path}, line {number}: expected a word and {width} numbers, got {len(fields) - 1} numbers")
    try:
        vector = np.array([parse_number(field.decode()) for field in fields[1:]], dtype=np.float32)
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: expected a word and {width} numbers: {error}") from None
    if not np.isfinite(vector).all():
        raise ValueError(f"{path}, line {number}: expected finite numbers, got {vector[~np.isfinite(vector)][0]}")
    return vector


class WordPairs(RegressionDataset):
    """Pairs of sentences as word vectors, looked up when an item is asked for.

    Item ``i`` is ``({"words": (2, max_words, d), "lengths": (2,)}, label)``: float32 vectors, zero after the last word
    of a sentence, and the number of words of either sentence, at least 1.

    Args:
        pairs: both sentences of each sample.
        labels: shape (n,).
        ids: one name per sample.
        vectors: of the vocabulary.
        max_words: further words of a sentence are left out.

    Raises:
        ValueError: a sentence without words (the message names the sample), or ``max_words`` below 1.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        labels: Tensor,
        ids: list[str],
        *,
        vectors: WordVectors,
        max_words: int = 40,
    ) -> None:
        check_number("max_words", max_words, low=1)
        self.labels = labels
        self.ids = ids
        self.vectors = vectors.vectors
        self.rows = torch.zeros(len(pairs), 2, max_words, dtype=torch.long)
        self.lengths = torch.zeros(len(pairs), 2, dtype=torch.long)
        for sample, pair in enumerate(pairs):
            for side, sentence in enumerate(pair):
                words = split_words(sentence)[:max_words]
                if not words:
                    raise ValueError(
                        f"pairs: expected sentences with words, got {sentence!r} in sample {ids[sample]!r}"
                    )
                self.lengths[sample, side] = len(words)
                self.rows[sample, side, : len(words)] = torch.tensor([vectors.row_of.get(word, 1) for word in words])

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        return {"words": self.vectors[self.rows[index]], "lengths": self.lengths[index]}, self.labels[index]
