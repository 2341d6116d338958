"""STS-B-DIR: predict how similar two sentences are, from 0 to 5; some similarities are rare in training."""

import math
from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from conr._checks import check_choice, check_number
from conr._numbers import parse_number
from conr.data.dataset import ArrayDataset, DatasetCard, RegressionDataset, Splits
from conr.data.embedding_cache import TextEncoder, cached_embeddings
from conr.data.module import RegressionData
from conr.data.sentence_pairs import WordPairs, most_common_words, read_word_vectors, split_words
from conr.density import Bins, LabelDensity
from conr.tables.bad_rows import BadRows

FILES = {"train": "train_new.tsv", "val": "dev_new.tsv", "test": "test_new.tsv"}
COLUMNS = 10
SENTENCES, SCORE = slice(7, 9), 9
HIGHEST = 5.0
SHOTS = ("authors", "counts")

_MANY = {0, *range(10, 50, 2), 49}
_MEDIAN = {2, 4, 6, 8, 27, 35, 37}
AUTHORS_REGIONS = tuple("many" if b in _MANY else "median" if b in _MEDIAN else "few" for b in range(50))
"""Shot region of each bin as the authors of the benchmark have it in their code."""

CARD = DatasetCard(
    summary="Pairs of sentences; the label is their similarity from 0 to 5, and some values are rare.",
    source=(
        "STS-B-DIR of Yang et al., Delving into Deep Imbalanced Regression, ICML 2021; the three files come with its "
        "code and are a new split of STS-B (Cer et al., SemEval 2017) from the GLUE benchmark."
    ),
    licence="that of STS-B: sentences of several sources, mostly CC BY-SA; for research",
    layout={file: f"the {split} split, {COLUMNS} columns separated by tabs" for split, file in FILES.items()},
    counts={"train": 5249, "val": 1000, "test": 1000},
    notes=(
        "The authors' shot regions are a list; by the 20/100 rule bins 15, 25, 33, 45 and 47 are median-shot, not few.",
        "15 test pairs and 8 validation pairs are also in the training split.",
    ),
)


class SentencePairs(NamedTuple):
    """The content of one file."""

    pairs: list[tuple[str, str]]  # both sentences of each sample
    labels: Tensor  # shape (n,), float32, in [0, 5]
    ids: list[str]  # ``"test-row-17"``: the split, and the row as a person counts


def read_pairs(path: Path, split: str, *, skip_bad: bool = False) -> SentencePairs:
    """Read one file of STS-B-DIR: a header, then ten columns separated by tabs; quotes are characters like others.

    Args:
        path: the file, UTF-8.
        split: how samples are called.
        skip_bad: leave unusable rows out, with a warning, instead of raising.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another header; a row with another number of columns, with a score that is no number in [0, 5], with
            a sentence without words or with bytes that are no UTF-8 (the message names file and row); no usable row.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected the {split} split of STS-B-DIR, found no file {path}")
    # Not Python's splitlines or csv: sentences may hold quotes, and other characters that these take for line ends.
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    header = lines[0].decode(errors="replace").rstrip("\r").split("\t")
    if len(header) != COLUMNS or header[SCORE] != "score":
        raise ValueError(f"{path}, row 1: expected a header of {COLUMNS} columns that ends with 'score', got {header}")
    bad = BadRows(path, skip=skip_bad)
    read = SentencePairs([], torch.empty(0), [])
    scores = []
    for row, line in enumerate(lines[1:], start=2):
        try:
            pair, score = _parse(line)
        except ValueError as error:
            bad.add(row, str(error))
            continue
        read.pairs.append(pair)
        read.ids.append(f"{split}-row-{row}")
        scores.append(score)
    bad.finish(len(lines) - 1)
    if not scores:
        raise ValueError(f"{path}: expected samples in the {split} split, got none")
    # float32 on purpose: the authors' bins have float32 edges, and in float64 a score of 0.6 falls into the bin below.
    return read._replace(labels=torch.tensor(scores, dtype=torch.float32))


def _parse(line: bytes) -> tuple[tuple[str, str], float]:
    try:
        fields = line.decode().rstrip("\r").split("\t")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got {error.object[error.start : error.start + 4]!r}") from None
    if len(fields) != COLUMNS:
        raise ValueError(f"expected {COLUMNS} columns separated by tabs, got {len(fields)}")
    first, second = fields[SENTENCES]
    for sentence in (first, second):
        if not split_words(sentence):
            raise ValueError(f"expected a sentence with words, got {sentence!r}")
    try:
        score = parse_number(fields[SCORE])
    except ValueError:
        score = math.nan
    if not 0 <= score <= HIGHEST:
        raise ValueError(f"score: expected a number in [0, {HIGHEST:g}], got {fields[SCORE]!r}")
    return (first, second), score


class _SentencePairsData(RegressionData):
    """Base of both forms of the dataset: the files, the bins and the shot regions.

    Args:
        root: folder of the three files.
        shots: ``"authors"``: the many-, median- and few-shot bins that the authors of the benchmark publish;
            ``"counts"``: more than 100, 20 to 100 and fewer than 20 training pairs in the bin.
        skip_bad: leave unusable rows out, with a warning, instead of raising.
        batch_size: pairs per batch.
        num_workers: processes that load batches.
    """

    label_name = "similarity"
    headline = "mse"
    card = CARD

    def __init__(self, root: str, *, shots: str, skip_bad: bool, batch_size: int, num_workers: int) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        check_choice("shots", shots, SHOTS)
        self.root = Path(root)
        self.shots = shots
        self.skip_bad = skip_bad

    @abstractmethod
    def datasets(self, parts: dict[str, SentencePairs]) -> dict[str, RegressionDataset]:
        """The splits with inputs made of the sentences, by the names of the given contents of the files."""

    def load(self) -> Splits:
        """Read the three files and make the inputs; raises as `read_pairs`."""
        parts = {split: read_pairs(self.root / file, split, skip_bad=self.skip_bad) for split, file in FILES.items()}
        return Splits(**self.datasets(parts), bins=Bins.by_width(width=0.1, low=0, high=HIGHEST))

    def problems(self) -> list[str]:
        """Everything that is wrong with the three files, one sentence each; no inputs are made."""
        found = []
        for split, file in FILES.items():
            try:
                pairs = read_pairs(self.root / file, split, skip_bad=self.skip_bad)
                found += self.unpublished_sizes({split: len(pairs.ids)})
            except (ValueError, OSError) as error:
                found.append(str(error))
        return found

    def shot_density(self) -> LabelDensity:
        """Training counts of the labels, and the shot regions that ``shots`` chooses."""
        regions = AUTHORS_REGIONS if self.shots == "authors" else None
        density = LabelDensity(many=self.many, few=self.few, fixed_regions=regions)
        return density.fit(self.splits.train.labels, self.splits.bins)


class STSB(_SentencePairsData):
    """STS-B-DIR with the sentences as vectors of a frozen encoder. Inputs have shape (2, d): one row per sentence.

    50 bins of width 0.1 over [0, 5], the last one with the label 5; headline MSE.

    Args:
        root: folder of the three files, see ``conr.data.sts_b.CARD``.
        encoder: makes a vector of each sentence, once: see `conr.data.embedding_cache.cached_embeddings`.
        cache: folder of the kept vectors; `conr.data.embedding_cache.default_cache_folder` if None.

    Raises:
        ValueError: unknown ``shots``.
    """

    name = "sts-b-dir"

    def __init__(
        self,
        root: str,
        *,
        encoder: TextEncoder,
        cache: str | None = None,
        shots: str = "authors",
        skip_bad: bool = False,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(root, shots=shots, skip_bad=skip_bad, batch_size=batch_size, num_workers=num_workers)
        self.encoder = encoder
        self.cache = None if cache is None else Path(cache)

    def datasets(self, parts: dict[str, SentencePairs]) -> dict[str, RegressionDataset]:
        """Vectors of the sentences, all splits at once."""
        sentences = [sentence for part in parts.values() for pair in part.pairs for sentence in pair]
        vectors = cached_embeddings(self.encoder, sentences, self.cache)  # (2 n, d)
        sizes = [len(part.pairs) for part in parts.values()]
        inputs = torch.split(vectors.view(sum(sizes), 2, -1), sizes)
        return {
            split: ArrayDataset(rows, part.labels, part.ids)
            for (split, part), rows in zip(parts.items(), inputs, strict=True)
        }


class STSBWords(_SentencePairsData):
    """STS-B-DIR with the sentences as word vectors, for the BiLSTM of the published results; see `WordPairs`.

    Everything else is as in `STSB`. It has a name of its own, so that results of the two never share a table.

    Args:
        root: folder of the three files.
        vectors: text file of word vectors such as ``glove.840B.300d.txt``; see `read_word_vectors`.
        vocabulary: size of the vocabulary: the commonest words of all splits.
        max_words: further words of a sentence are left out.

    Raises:
        ValueError: unknown ``shots``; a number below 1.
    """

    name = "sts-b-dir-bilstm"

    def __init__(
        self,
        root: str,
        *,
        vectors: str,
        vocabulary: int = 30_000,
        max_words: int = 40,
        shots: str = "authors",
        skip_bad: bool = False,
        batch_size: int = 128,
        num_workers: int = 0,
    ) -> None:
        super().__init__(root, shots=shots, skip_bad=skip_bad, batch_size=batch_size, num_workers=num_workers)
        check_number("vocabulary", vocabulary, low=1)
        check_number("max_words", max_words, low=1)
        self.vectors = Path(vectors)
        self.vocabulary = vocabulary
        self.max_words = max_words

    def datasets(self, parts: dict[str, SentencePairs]) -> dict[str, RegressionDataset]:
        """Word vectors of the sentences; the splits share one vocabulary."""
        sentences = (sentence for part in parts.values() for pair in part.pairs for sentence in pair)
        vectors = read_word_vectors(self.vectors, most_common_words(sentences, self.vocabulary))
        return {
            split: WordPairs(part.pairs, part.labels, part.ids, vectors=vectors, max_words=self.max_words)
            for split, part in parts.items()
        }
