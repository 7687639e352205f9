"""Token counts, against encoding every text."""

import random

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from convmodel.reports.inspection import token_counts as token_lengths
from convmodel.reports.inspection.token_counts import TokenCounter, learn_tokenizer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import random_text


def test_tokens_are_counted_as_the_tokenizer_encodes(tokenizer: ConversationTokenizer) -> None:
    source = random.Random(0)
    texts = [random_text(source) for _ in range(800)]
    texts += ["it's 'sALL we'll  two  spaces\n\n\ttab \x1f x\x85y ½² Ⅷ٣ _a_b_", " ", "don't", "a\u00a0b", "\x1c\x1d"]
    texts += ["".join(map(chr, range(1, 0x250)))]
    counter = TokenCounter(tokenizer)
    wanted = [len(ids) for ids in tokenizer.encode_many(texts)]
    assert counter(texts).tolist() == wanted
    assert counter(texts).tolist() == wanted  # now from what it remembers


def test_a_full_cache_does_not_change_counts(tokenizer: ConversationTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "_MAX_CACHED", 2)
    counter = TokenCounter(tokenizer)
    first = counter(["one two three"]).tolist()
    assert counter(["four five six"]).tolist() == [len(tokenizer.encode("four five six"))]
    assert counter(["one two three"]).tolist() == first


def test_other_tokenizers_encode_every_text() -> None:
    rust = Tokenizer(models.WordLevel({"<unk>": 0, "<sep>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = ConversationTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", sep_token="<sep>")
    )
    assert TokenCounter(tokenizer)(["a b", "b", "a-b a"]).tolist() == [2, 1, 4]


def test_a_vocabulary_is_learned_from_the_beginning_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "LEARNED_FROM", 10)
    read = []

    def texts() -> object:
        for text in ("hello hello", "never", "read"):
            read.append(text)
            yield text

    tokenizer = learn_tokenizer(texts(), vocab_size=300)  # type: ignore[arg-type]
    assert read == ["hello hello"]
    assert len(tokenizer.encode("hello")) < 5
