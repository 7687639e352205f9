"""The tokenizer of ConveRT: subwords, hash buckets and control tokens."""

import hashlib
import random
from pathlib import Path

import pytest

from convmodel.models.selection.convert.tokenizer import ConvertTokenizer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import store_key
from tests.conftest import TEXTS, random_text


@pytest.fixture(scope="module")
def tokenizer() -> ConvertTokenizer:
    return ConvertTokenizer.learn(TEXTS * 3, 100, buckets=50)


def names(tokenizer: ConvertTokenizer, text: str) -> list[str]:
    return [str(tokenizer.hf_tokenizer.convert_ids_to_tokens(token)) for token in tokenizer.encode(text)]


def test_known_texts_are_encoded_as_lower_case_subwords(tokenizer: ConvertTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0].lower()
    assert tokenizer.encode("HELLO") == tokenizer.encode("hello") == tokenizer.encode("ｈｅｌｌｏ")
    assert max(map(max, tokenizer.encode_many(TEXTS))) < len(tokenizer) - 50
    assert len(ConvertTokenizer.learn(TEXTS, 31_476)) < 1_500  # no more than the texts give


def test_the_vocabulary_has_the_requested_sizes_with_buckets_after_the_subwords(
    tokenizer: ConvertTokenizer,
) -> None:
    assert len(tokenizer) == 100 + 50 and tokenizer.buckets == 50
    again = ConvertTokenizer.learn(TEXTS * 3, 100, buckets=50)
    assert again.hf_tokenizer.get_vocab() == tokenizer.hf_tokenizer.get_vocab()


def test_a_run_of_unknown_characters_gets_the_same_bucket_at_any_position(
    tokenizer: ConvertTokenizer,
) -> None:
    alone = names(tokenizer, "жаба")
    assert len(alone) == 2 and alone[1].startswith("bucket ")
    within = names(tokenizer, "I like ЖАБА. And you, жаба?")
    assert within.count(alone[1]) == 2 and sum(name.startswith("bucket ") for name in within) == 2
    assert names(tokenizer, "likeжаба")[-1] == alone[1]
    assert names(tokenizer, "日本")[1] != names(tokenizer, "語")[1]


def test_every_text_has_an_id_and_no_text_becomes_a_control_token(tokenizer: ConvertTokenizer) -> None:
    source = random.Random(0)
    texts = [random_text(source) for _ in range(300)]
    texts += ["\u200b", "\ufeff", "\x00", "<unk>", "<sep>", "bucket 7", "\u2581", " bucket 7 <sep> <unk> "]
    control = {tokenizer.sep_token_id, tokenizer.hf_tokenizer.unk_token_id}
    for text, ids in zip(texts, tokenizer.encode_many(texts), strict=True):
        assert ids and control.isdisjoint(ids), text
        assert max(ids) < len(tokenizer) and ids == tokenizer.encode(text)
    assert "bucket 7" not in names(tokenizer, "bucket 7 bucket 7")
    assert tokenizer.encode_many([]) == []


def test_a_hash_is_the_same_on_every_machine(tokenizer: ConvertTokenizer) -> None:
    digest = hashlib.blake2b("жаба".encode(), digest_size=8).hexdigest()
    assert names(tokenizer, "Жаба")[-1] == f"bucket {int(digest, 16) % 50}" == "bucket 21"


def test_a_loaded_tokenizer_encodes_the_same_and_has_the_same_key(tokenizer: ConvertTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = ConvertTokenizer.from_pretrained(tmp_path / "saved")
    assert isinstance(loaded, ConvertTokenizer) and len(loaded) == len(tokenizer)
    texts = [*TEXTS, "жаба", "\u200b"]
    assert loaded.encode_many(texts) == tokenizer.encode_many(texts)
    assert store_key("", loaded) == store_key("", tokenizer)
    fewer = ConvertTokenizer.learn(TEXTS * 3, 100, buckets=49)
    assert store_key("", fewer) != store_key("", tokenizer)


def test_a_tokenizer_without_buckets_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no buckets; ConveRT needs a tokenizer from ConvertTokenizer\.learn"):
        ConvertTokenizer(ConversationTokenizer.learn(TEXTS, 300).hf_tokenizer)
    with pytest.raises(ValueError, match="at least 64 and 1 are needed"):
        ConvertTokenizer.learn(TEXTS, 10)
