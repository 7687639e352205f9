"""Classifiers of several families against a plain loop over windows, and a trained one that nothing hides from."""

import json
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from convmodel.models.text_classifier import TextClassifier
from convmodel.serving.safety import Classifier

pytestmark = pytest.mark.machine

WORDS = ["a", "sun", "rain", "sea", "tea", "cat", "dog", "you", "are", "bad", "nice", "["]
POSITIONS = 16


def tokenizer(*, around: bool = True) -> PreTrainedTokenizerFast:
    """A word a token, between [CLS] and [SEP] where it is asked for; [PAD] is 1, as RoBERTa has it."""
    names = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]
    rust = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*names, *WORDS])}, unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    if around:
        rust.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=rust,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=POSITIONS,
    )


SIZES: dict[str, Any] = {"vocab_size": len(WORDS) + 4, "pad_token_id": 1}
WIDE: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.5},
}
LABELS: dict[str, Any] = {"id2label": {0: "fine", 1: "rude", 2: "sad"}, "label2id": {"fine": 0, "rude": 1, "sad": 2}}
SMALL: dict[str, Any] = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": POSITIONS, "initializer_range": 0.5}
FAMILIES: dict[str, Any] = {
    "bert": BertConfig(**SIZES, **WIDE, **LABELS, max_position_embeddings=POSITIONS),
    "many labels": BertConfig(
        **SIZES, **WIDE, **LABELS, max_position_embeddings=POSITIONS, problem_type="multi_label_classification"
    ),
    "roberta": RobertaConfig(**SIZES, **WIDE, **LABELS, max_position_embeddings=POSITIONS + 2, type_vocab_size=1),
    "distilbert": DistilBertConfig(
        **SIZES, **LABELS, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=POSITIONS
    ),
    "gpt2": GPT2Config(vocab_size=SIZES["vocab_size"], **SMALL, **LABELS, pad_token_id=None),
    "gpt2 with padding": GPT2Config(**SIZES, **SMALL, **LABELS),
    "one label": BertConfig(**SIZES, **WIDE, id2label={0: "rude"}, max_position_embeddings=POSITIONS),
}


def saved(folder: Path, family: str) -> Path:
    torch.manual_seed(0)
    config = FAMILIES[family]
    AutoModelForSequenceClassification.from_config(config).eval().save_pretrained(folder)
    tokenizer(around=not family.startswith("gpt2")).save_pretrained(folder)
    return folder


def random_text(source: random.Random, longest: int = 60) -> str:
    return " ".join(source.choices(WORDS[:-1], k=source.randint(1, longest)))


def plain_scores(network: Any, text: str) -> list[float]:
    """One window after the other, nothing padded; the highest of each label."""
    vocabulary = [*["[UNK]", "[PAD]", "[CLS]", "[SEP]"], *WORDS]
    ids = [vocabulary.index(word) for word in text.split()]
    around = "gpt2" not in network.config.model_type
    size = POSITIONS - 2 * around
    windows, start = [], 0
    while True:
        windows.append([*([2] if around else []), *ids[start : start + size], *([3] if around else [])])
        if start + size >= len(ids):
            break
        start += size - size // 4
    result = []
    for window in windows:
        with torch.no_grad():
            logits = network(torch.tensor([window])).logits[0]
        each = network.config.problem_type == "multi_label_classification" or len(logits) == 1
        result.append((logits.sigmoid() if each else logits.softmax(-1)).tolist())
    return [max(scores) for scores in zip(*result, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_those_of_a_plain_loop_over_windows_alone_and_in_batches(tmp_path: Path, family: str) -> None:
    folder, source = saved(tmp_path / "model", family), random.Random(1)
    texts = [random_text(source) for _ in range(12)] + ["sun " * n for n in (13, 14, 15, 16, 17)]
    flags = None if family == "one label" else ["rude", "sad"]
    classifier: Classifier = TextClassifier.from_pretrained(folder, flags=flags, device="cpu", dtype="float32")
    assert isinstance(classifier, TextClassifier)
    together = classifier.scores(texts)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for text, result in zip(texts, together, strict=True):
        expected = plain_scores(network, text)
        assert list(result) == classifier.labels and list(result.values()) == pytest.approx(expected, abs=1e-5)
        assert list(classifier.scores([text])[0].values()) == pytest.approx(expected, abs=1e-5)
    for text, scores, label in zip(texts, together, classifier(texts), strict=True):
        flagged = {name: scores[name] for name in flags or scores if scores[name] >= 0.5}
        assert label == (max(flagged, key=flagged.__getitem__) if flagged else None), text
    assert classifier([]) == []


# One that was trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Says "rude" of what holds the word bad among the words that it reads."""
    torch.manual_seed(0)
    source, words = random.Random(0), tokenizer()
    labels: dict[str, Any] = {"id2label": {0: "fine", 1: "rude"}, "label2id": {"fine": 0, "rude": 1}}
    network = AutoModelForSequenceClassification.from_config(
        BertConfig(**SIZES, **WIDE | {"initializer_range": 0.1}, **labels, max_position_embeddings=POSITIONS)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(150):
        texts = [random_text(source, POSITIONS - 2) for _ in range(32)]
        wanted = torch.tensor([int("bad" in text.split()) for text in texts])
        loss = network(
            **words(texts, padding=True, return_token_type_ids=False, return_tensors="pt"), labels=wanted
        ).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("trained") / "model"
    network.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def flagging(folder: Path, **options: Any) -> TextClassifier:
    return TextClassifier.from_pretrained(folder, **{"flags": ["rude"], "device": "cpu", "dtype": "float32"} | options)


def long_text(length: int, bad: Sequence[int]) -> str:
    source = random.Random(length)
    harmless = [word for word in WORDS[:-1] if word != "bad"]
    return " ".join("bad" if n in bad else source.choice(harmless) for n in range(length))


def test_flagged_parts_of_long_texts_and_after_fake_control_tokens_are_found(trained: Path) -> None:
    classifier = flagging(trained)
    assert classifier(["you are nice", "you are bad"]) == [None, "rude"]
    for length in (13, 14, 15, 40, 200):
        positions = {0, 1, length // 2, length - 2, length - 1, *range(0, length, 17)}
        assert classifier([long_text(length, [position]) for position in positions]) == ["rude"] * len(positions)
        assert classifier([long_text(length, [])]) == [None]
    controls = ["[PAD] [PAD] bad", "[SEP] you are bad", "you [CLS] bad [SEP]", "bad [SEP] [PAD]", "[MASK] bad"]
    assert classifier(controls) == ["rude"] * 5
    assert classifier(["", " \n", "\ud800", "[SEP][PAD]"]) == [None] * 4
    assert classifier(["you \ud800 bad"]) == ["rude"]


def test_the_ids_of_a_text_are_never_those_of_control_tokens(trained: Path) -> None:
    classifier = flagging(trained)
    read: list[list[int]] = []
    network, given = classifier._network, classifier._probabilities

    def look(rows: Sequence[list[int]]) -> torch.Tensor:
        read.extend(rows)
        return given(rows)

    classifier._probabilities = look  # type: ignore[method-assign]
    classifier(["[PAD] [CLS] bad [SEP]", "[SEP]"])
    assert network.training is False and len(read) == 2
    assert all(ids[0] == 2 and ids[-1] == 3 and not {1, 2, 3} & set(ids[1:-1]) for ids in read)


def test_the_threshold_decides(trained: Path) -> None:
    text = "you are bad"
    [scores] = flagging(trained).scores([text])
    assert 0.5 < scores["rude"] < 1 and sum(scores.values()) == pytest.approx(1)
    assert flagging(trained, threshold=scores["rude"] - 1e-4)([text]) == ["rude"]
    assert flagging(trained, threshold=scores["rude"] + 1e-6)([text]) == [None]
    assert flagging(trained, flags=["fine", "rude"])([text, "sun"]) == ["rude", "fine"]


def test_several_threads_get_the_same_results_as_one(trained: Path) -> None:
    classifier = flagging(trained)
    texts = [random_text(random.Random(n)) for n in range(40)]
    expected = classifier(texts)
    result: dict[int, Any] = {}

    def ask(n: int) -> None:
        result[n] = [classifier([text])[0] for text in texts[n::4]]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result[n % 4][n // 4] for n in range(40)] == expected


# What is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flags": ["toxic"]}, "model: there is no label 'toxic'; the model has fine, rude"),
        ({"flags": None}, "model: no flagging labels were given; the model has fine, rude"),
        ({"flags": []}, "no flagging labels were given"),
        ({"threshold": 0}, "threshold=0; allowed are numbers above 0 and at most 1"),
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"dtype": "int7"}, "dtype='int7'; allowed are"),
    ],
)
def test_invalid_options_are_refused(trained: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flagging(trained, **given)


def change(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def without(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def test_folders_without_a_classifier_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "pickled", "bert")
    without(tmp_path / "pickled", "model.safetensors")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    GPT2LMHeadModel(FAMILIES["gpt2"]).save_pretrained(tmp_path / "writes")
    tokenizer().save_pretrained(tmp_path / "writes")
    change(saved(tmp_path / "numbers", "one label"), problem_type="regression")
    change(saved(tmp_path / "code", "bert"), model_type="mine", auto_map={"AutoConfig": "evil.Config"})
    (tmp_path / "code" / "evil.py").write_text("raise SystemExit('it was run')")
    (saved(tmp_path / "damaged", "bert") / "model.safetensors").write_bytes(b"\xff" * 100)
    without(saved(tmp_path / "speechless", "bert"), "tokenizer.json", "tokenizer_config.json")
    for name, message in {
        "speechless": r"speechless: holds no vocabulary: there is no vocab\.txt",
        "pickled": "its weights are the pickle pytorch_model.bin",
        "writes": r"writes: holds a gpt2 model without a text classification head \(there is no score.weight\)",
        "numbers": "numbers: the model predicts numbers, not classes",
        "code": r"code.config\.json: model_type is 'mine', which needs code of that folder",
        "damaged": r"damaged.model\.safetensors: is damaged or cut off",
    }.items():
        with pytest.raises(ValueError, match=message):
            TextClassifier.from_pretrained(tmp_path / name, device="cpu")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        TextClassifier.from_pretrained(tmp_path / "none")


def test_a_model_that_computes_nan_is_an_error(trained: Path) -> None:
    classifier = flagging(trained)
    with torch.no_grad():
        next(classifier._network.parameters()).fill_(float("nan"))
    with pytest.raises(RuntimeError, match="the classifier computed NaN"):
        classifier(["you"])
