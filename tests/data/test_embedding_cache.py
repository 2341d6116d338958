import hashlib
import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from conr.data import cached_embeddings
from conr.data.embedding_cache import default_cache_folder

SENTENCES = ["A dog runs.", "A cat sleeps.", "A dog runs.", "No one."]


class Hashes:
    """Encodes a sentence as numbers that depend on it and on the weights alone; counts what it is asked for."""

    def __init__(self, weights: str = "w", width: int = 4) -> None:
        self.weights = weights
        self.width = width
        self.calls: list[list[str]] = []

    def fingerprint(self) -> str:
        return self.weights

    def encode(self, sentences: Sequence[str]) -> Tensor:
        self.calls.append(list(sentences))
        return torch.tensor([self.vector(sentence) for sentence in sentences])

    def vector(self, sentence: str) -> list[float]:
        digest = hashlib.sha256(f"{self.weights}{sentence}".encode()).digest()
        return [digest[position] / 255 for position in range(self.width)]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_row_per_sentence_and_repeated_ones_encoded_once(tmp_path: Path) -> None:
    encoder = Hashes()
    vectors = cached_embeddings(encoder, SENTENCES, tmp_path)
    torch.testing.assert_close(vectors, torch.tensor([encoder.vector(sentence) for sentence in SENTENCES]))
    assert vectors.dtype is torch.float32
    assert encoder.calls == [["A dog runs.", "A cat sleeps.", "No one."]]


def test_the_second_time_nothing_is_encoded(tmp_path: Path) -> None:
    before = cached_embeddings(Hashes(), SENTENCES, tmp_path)
    again = Hashes()
    assert torch.equal(cached_embeddings(again, SENTENCES, tmp_path), before)
    assert again.calls == []
    assert len(_files(tmp_path)) == 1  # and no temporary file


def test_other_weights_or_other_sentences_are_encoded_anew(tmp_path: Path) -> None:
    cached_embeddings(Hashes(), SENTENCES, tmp_path)
    for encoder, sentences in (
        (Hashes("v"), SENTENCES),
        (Hashes(), SENTENCES[:2]),
        (Hashes(), [*SENTENCES, "One more."]),
        (Hashes(), ["A dog", " runs.A cat sleeps.", "No one."]),  # the same characters, divided elsewhere
    ):
        vectors = cached_embeddings(encoder, sentences, tmp_path)
        assert len(encoder.calls) == 1
        torch.testing.assert_close(vectors, torch.tensor([encoder.vector(sentence) for sentence in sentences]))
    assert len(_files(tmp_path)) == 5


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_computed_again(tmp_path: Path, kept: float) -> None:
    before = cached_embeddings(Hashes(), SENTENCES, tmp_path)
    (path,) = _files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    encoder = Hashes()
    with pytest.warns(
        UserWarning, match=f"{path.name}: expected a complete NumPy archive.*; computing the embeddings again"
    ):
        assert torch.equal(cached_embeddings(encoder, SENTENCES, tmp_path), before)
    assert len(encoder.calls) == 1
    assert path.read_bytes() == content  # and the file is whole again


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    before = cached_embeddings(Hashes(), SENTENCES, tmp_path)
    (path,) = _files(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(before.numpy().tobytes()[:16]) + 3] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="Bad CRC-32.*; computing the embeddings again"):
        assert torch.equal(cached_embeddings(Hashes(), SENTENCES, tmp_path), before)


@pytest.mark.parametrize("array", [np.zeros((2, 4), np.float32), np.zeros((3, 4)), np.zeros(3, np.float32)])
def test_a_file_of_another_shape_or_type_is_computed_again(tmp_path: Path, array: np.ndarray) -> None:
    before = cached_embeddings(Hashes(), SENTENCES, tmp_path)
    (path,) = _files(tmp_path)
    np.savez(path, vectors=array)
    with pytest.warns(UserWarning, match=r"expected float32 of shape \(3, d\), got .*; computing the embeddings again"):
        assert torch.equal(cached_embeddings(Hashes(), SENTENCES, tmp_path), before)
    np.savez(path, others=array)
    with pytest.warns(UserWarning, match="expected the array .*; computing the embeddings again"):
        assert torch.equal(cached_embeddings(Hashes(), SENTENCES, tmp_path), before)


def test_a_folder_that_cannot_be_written_costs_only_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"  # a folder below a file can be made by nobody, not even by root
    with pytest.warns(UserWarning, match="cannot keep the embeddings, the next run computes them again"):
        vectors = cached_embeddings(Hashes(), SENTENCES, folder)
    assert vectors.shape == (4, 4)


class WaitsForTheOther(Hashes):
    """Gives its vectors only once both processes encode, so that both then write."""

    def __init__(self, barrier: Barrier) -> None:
        super().__init__()
        self.barrier = barrier

    def encode(self, sentences: Sequence[str]) -> Tensor:
        self.barrier.wait(timeout=60)
        return torch.arange(float(len(sentences) * 300)).view(len(sentences), 300)


def _encode_beside_another(folder: Path, barrier: Barrier) -> None:
    torch.set_num_threads(1)  # the threads of the parent are not in a fork
    vectors = cached_embeddings(WaitsForTheOther(barrier), [str(number) for number in range(2000)], folder)
    assert vectors[1999, 299] == 599_999


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # a new interpreter would take seconds to import torch
    barrier = context.Barrier(2)
    processes = [context.Process(target=_encode_beside_another, args=(tmp_path, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    (path,) = _files(tmp_path)
    with np.load(path) as archive:
        assert np.array_equal(archive["vectors"], np.arange(600_000, dtype=np.float32).reshape(2000, 300))


def test_the_default_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unusable in ("", "relative/folder"):  # as the XDG specification has it
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert default_cache_folder() == tmp_path / "home" / ".cache" / "conr" / "embeddings"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_folder() == tmp_path / "xdg" / "conr" / "embeddings"
    cached_embeddings(Hashes(), SENTENCES)
    assert len(_files(default_cache_folder())) == 1


class Fixed(Hashes):
    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = vectors

    def encode(self, sentences: Sequence[str]) -> Tensor:
        del sentences
        return self.vectors


def test_an_encoder_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    for vectors in (torch.zeros(2, 4), torch.zeros(3)):
        with pytest.raises(ValueError, match=r"encoder: expected vectors of shape \(3, d\), got \("):
            cached_embeddings(Fixed(vectors), SENTENCES, tmp_path)
    bad = torch.zeros(3, 4)
    bad[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"encoder: expected finite vectors, got one that is not for 'A cat sleeps\.'"):
        cached_embeddings(Fixed(bad), SENTENCES, tmp_path)
    assert _files(tmp_path) == []
