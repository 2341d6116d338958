"""Embeddings of sentences by a frozen encoder, computed once and kept in a file."""

import hashlib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from conr.runs.atomic import write_arrays
from conr.runs.reading import read_arrays

_FORMAT = "conr.embeddings/1"  # part of each key: a change of what is stored makes old files invisible


class TextEncoder(Protocol):
    """A frozen network from sentences to vectors, such as `conr.models.SentenceEncoder`."""

    def fingerprint(self) -> str:
        """Digest of everything that decides the vectors: the bytes of the weights, the tokeniser and all settings."""

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Vectors of sentences, shape (n, d), float32."""


def default_cache_folder() -> Path:
    """``$XDG_CACHE_HOME/conr/embeddings``, or ``~/.cache/conr/embeddings``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "conr" / "embeddings"


def cached_embeddings(encoder: TextEncoder, sentences: Sequence[str], folder: Path | None = None) -> Tensor:
    """Vectors of sentences (n, d), float32, from the cache if this encoder has seen exactly these before.

    The name of a cache file is a digest of the encoder's fingerprint and of the sentences, so that a change of either
    finds no file and computes anew. Files of encoders or data that are gone may be deleted at any time.

    Args:
        encoder: see `TextEncoder`.
        sentences: in any order, repeated ones are encoded once.
        folder: where the files lie; made if needed. `default_cache_folder` if None.

    Raises:
        ValueError: the encoder gives another number of vectors than there are sentences, or one that is not finite.

    Notes:
        A file appears complete or not at all, so that several processes may share the folder: those that find no file
        each compute it, and the last one stays. One that was cut off or altered since is computed again, with a
        warning. A folder that cannot be written costs a warning and the next run the same time again.
    """
    unique = list(dict.fromkeys(sentences))
    path = (default_cache_folder() if folder is None else folder) / f"{_key(encoder, unique)}.npz"
    vectors = _read(path, len(unique))
    if vectors is None:
        from lightning.pytorch.utilities import rank_zero_info  # noqa: PLC0415  heavy

        rank_zero_info(f"Encoding {len(unique)} sentences, once; the vectors are kept in {path.parent}")
        vectors = _encode(encoder, unique)
        _write(path, vectors)
    row_of = {sentence: row for row, sentence in enumerate(unique)}
    return torch.from_numpy(vectors)[[row_of[sentence] for sentence in sentences]]


def _key(encoder: TextEncoder, sentences: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{_FORMAT}\n{encoder.fingerprint()}\n".encode())
    for sentence in sentences:
        content = sentence.encode()
        digest.update(f"{len(content)}\n".encode())  # with lengths, ("ab", "c") and ("a", "bc") differ
        digest.update(content)
    return digest.hexdigest()


def _encode(encoder: TextEncoder, sentences: Sequence[str]) -> np.ndarray:
    vectors = encoder.encode(sentences)
    if vectors.ndim != 2 or len(vectors) != len(sentences):
        raise ValueError(f"encoder: expected vectors of shape ({len(sentences)}, d), got {tuple(vectors.shape)}")
    bad = ~vectors.isfinite().all(dim=1)  # (n,)
    if bad.any():
        raise ValueError(
            f"encoder: expected finite vectors, got one that is not for {sentences[int(bad.nonzero()[0])]!r}"
        )
    return vectors.detach().float().cpu().numpy()


def _read(path: Path, count: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        vectors = read_arrays(path, ["vectors"])["vectors"]  # the checksum of the content is verified on reading
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        if vectors.ndim == 2 and vectors.dtype == np.float32 and len(vectors) == count:
            return vectors
        problem = f"{path}: expected float32 of shape ({count}, d), got {vectors.dtype} of shape {vectors.shape}"
    warnings.warn(f"{problem}; computing the embeddings again", stacklevel=4)
    return None


def _write(path: Path, vectors: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, {"vectors": vectors})
    except OSError as error:
        warnings.warn(
            f"{path.parent}: cannot keep the embeddings, the next run computes them again: {error}", stacklevel=4
        )
