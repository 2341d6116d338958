"""STS-B-DIR in small: the three files, a file of word vectors and a sentence encoder, all made up."""

import random
from pathlib import Path
from typing import Any

import torch

HEADER = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
FILES = {"train": "train_new.tsv", "val": "dev_new.tsv", "test": "test_new.tsv"}
WORDS = {
    "who": ["dog", "cat", "woman", "chef", "robot"],
    "look": ["small", "red", "old", "tired", "happy"],
    "does": ["paints", "carries", "watches", "sells", "drops"],
    "what": ["house", "guitar", "pepper", "boat", "letter"],
}
FIXED = ["A", "a", ".", '"']
VECTOR_WIDTH = 6


def write_sts_b(root: Path, *, train: int = 96, val: int = 40, test: int = 40, seed: int = 0) -> Path:
    """Write the three files: sentences with the more words in common, the higher the score; few pairs have most."""
    rng = random.Random(seed)  # noqa: S311
    root.mkdir(parents=True, exist_ok=True)
    for split, count in {"train": train, "val": val, "test": test}.items():
        rows = [_row(rng, index, balanced=split != "train") for index in range(count)]
        (root / FILES[split]).write_bytes("\n".join([HEADER, *rows, ""]).encode())
    return root


def write_glove(path: Path, *, seed: int = 0) -> Path:
    """Write vectors of all words but one ("pepper") as GloVe has them: no header, some entries of several words."""
    rng = random.Random(seed)  # noqa: S311
    words = [*FIXED, *(word for words in WORDS.values() for word in words if word != "pepper")]
    entries = [*words, ". . .", "at name@domain.com", "unused"]
    lines = [" ".join([entry, *(f"{rng.gauss(0, 1):.5f}" for _ in range(VECTOR_WIDTH))]) for entry in entries]
    path.write_text("\n".join([*lines, ""]))
    return path


def write_encoder(folder: Path, *, width: int = 8, seed: int = 0) -> Path:
    """Save a BERT of one layer with random weights and a tokeniser of the few words that the sentences have."""
    # Here and not above, as the dataset alone needs neither.
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: PLC0415
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast  # noqa: PLC0415

    words = [word for words in WORDS.values() for word in words]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, "a", ".", '"']
    tokenizer = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    wrapped: Any = PreTrainedTokenizerFast
    wrapped(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def _row(rng: random.Random, index: int, *, balanced: bool) -> str:
    first = {slot: rng.choice(words) for slot, words in WORDS.items()}
    weights = (1, 1, 1, 1, 1) if balanced else (8, 4, 2, 1, 1)  # of 0 to 4 words in common
    shared = rng.choices(range(5), weights)[0]
    kept = set(rng.sample(sorted(WORDS), shared))
    second = {
        slot: first[slot] if slot in kept else rng.choice([word for word in words if word != first[slot]])
        for slot, words in WORDS.items()
    }
    score = min(max(1.25 * shared + rng.choice((-0.2, 0, 0, 0.2)), 0), 5)
    text = rng.choice((f"{score:.3f}", f"{score:.2f}", f"{score:g}"))  # as varied as in the real files
    return "\t".join(
        [str(index), "made-up", "slots", "2026", f"{index:04d}", "none", "none", _say(first), _say(second), text]
    )


def _say(words: dict[str, str]) -> str:
    quote = '"' if words["who"] == "robot" else ""  # a quote that nothing closes
    return f"{quote}A {words['look']} {words['who']} {words['does']} a {words['what']}."
