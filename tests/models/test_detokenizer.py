"""Incremental decoding: pieces, stop strings and characters that are not whole yet."""

import random
from collections.abc import Callable, Iterator

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from convmodel.models.detokenizer import StreamingDetokenizer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.text_tokenizer import decode
from tests.conftest import TEXTS, random_text
from tests.vocabularies import FAMILIES, Letters

JAPANESE = [
    "こんにちは。元気ですか？",
    "日本語を話します。",
    "はい、元気です👋 ありがとう 👩‍👩‍👧 🏳️‍🌈!",
    "한국어 العربية é e\u0301",
]
BROKEN = "\ufffd"


def learned() -> PreTrainedTokenizerBase:
    """A byte-level BPE with pieces of Japanese in it."""
    return ConversationTokenizer.learn([*TEXTS, *JAPANESE] * 2, 340).hf_tokenizer


def byte_fallback() -> PreTrainedTokenizerFast:
    """As Llama's: pieces, and bytes for what they cannot write."""
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a", "▁hello", "日", "é"]
    rust = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>")
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    rust.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", eos_token="</s>")


ALL: dict[str, Callable[[], PreTrainedTokenizerBase]] = {**FAMILIES, "learned": learned, "byte fallback": byte_fallback}


def random_ids(source: random.Random, size: int) -> list[int]:
    return [source.randrange(size) for _ in range(source.randint(0, 25))]


def certain(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Iterator[str]:
    """After each id, the text that no further id can change: it does not end in the middle of a character."""
    known = ""
    for stop in range(1, len(ids) + 1):
        text = decode(tokenizer, ids[:stop])
        known = known if text.endswith(BROKEN) else text
        yield known


@pytest.mark.parametrize("family", ALL)
def test_joined_pieces_are_the_text_of_all_ids(family: str) -> None:
    tokenizer, source = ALL[family](), random.Random(0)
    size = len(tokenizer)
    for index in range(400):
        if family == "byte fallback":  # random bytes: see the next test
            ids = tokenizer.encode(random_text(source), add_special_tokens=False)
        else:
            ids = random_ids(source, size)
        stream = StreamingDetokenizer(tokenizer)
        pieces = [stream.feed(token) for token in ids]
        pieces.append(stream.finish())
        assert "".join(pieces) == stream.text == decode(tokenizer, ids), (index, ids)
        assert not stream.stopped and stream.finish() == ""


@pytest.mark.parametrize("family", ALL)
def test_a_continuation_equals_the_rest_of_the_whole_text(family: str) -> None:
    tokenizer = ALL[family]()
    source, streamed = random.Random(family), 0
    for _ in range(300):
        begun = tokenizer.encode(random_text(source), add_special_tokens=False)
        more = tokenizer.encode(random_text(source), add_special_tokens=False)
        before, whole = decode(tokenizer, begun), decode(tokenizer, [*begun, *more])
        stream = StreamingDetokenizer(tokenizer, prefix_ids=begun)
        pieces = [stream.feed(token) for token in more]
        streamed += any(pieces)
        text = "".join(pieces) + stream.finish()
        assert text == stream.text
        if whole.startswith(before):  # some decoders tidy up what came before
            assert before + text == whole
        else:
            assert text == decode(tokenizer, more)
    assert streamed or family == "letters in Python"


def test_a_stop_string_in_the_prefix_does_not_count() -> None:
    tokenizer = ALL["byte level"]()
    begun, more = (tokenizer.encode(text, add_special_tokens=False) for text in ("stop st", "op it, stop now"))
    stream = StreamingDetokenizer(tokenizer, ["stop"], prefix_ids=begun)
    pieces = [stream.feed(token) for token in more]
    assert "".join(pieces) + stream.finish() == stream.text == "op it, " and stream.stopped


def test_no_text_is_lost_after_a_decoder_changes_earlier_text() -> None:
    """One byte that is none turns the bytes before it, which were given out, into replacement characters."""
    tokenizer = byte_fallback()
    source, hello, byte = random.Random(1), tokenizer.get_vocab()["▁hello"], 2
    changed = 0
    for _ in range(300):
        ids = [byte + source.choice([0x41, 0x42, 0xC3, 0xFF]) for _ in range(source.randint(1, 8))]
        ids.append(hello)
        stream = StreamingDetokenizer(tokenizer)
        text = "".join(map(stream.feed, ids)) + stream.finish()
        changed += text != decode(tokenizer, ids)
        assert text == stream.text and text.endswith("hello")
    assert changed  # otherwise this test shows nothing


@pytest.mark.parametrize("family", ["byte level", "learned", "byte fallback"])
def test_japanese_and_emoji_are_emitted_once_certain_and_never_broken(family: str) -> None:
    tokenizer = ALL[family]()
    source = random.Random(2)
    held = 0
    for text in JAPANESE + [random_text(source) for _ in range(60)]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        stream = StreamingDetokenizer(tokenizer)
        for token, known in zip(ids, certain(tokenizer, ids), strict=True):
            piece = stream.feed(token)
            assert BROKEN not in piece and stream.text == known
            held += not piece
        stream.finish()
        assert stream.text == decode(tokenizer, ids)
    assert held > 100  # most tokens here are a part of a character


def test_an_incomplete_character_at_the_end_is_decoded_as_in_transformers() -> None:
    tokenizer = learned()
    ids = tokenizer.encode("é", add_special_tokens=False)[:1]
    if decode(tokenizer, ids) == "é":
        ids = tokenizer.encode("ж", add_special_tokens=False)[:1]
    stream = StreamingDetokenizer(tokenizer)
    assert stream.feed(ids[0]) == "" and stream.finish() == decode(tokenizer, ids) == BROKEN


def random_stops(source: random.Random, text: str) -> list[str]:
    """One to three strings, most of them parts of the text, some nearly so, some of them parts of others."""
    stops = []
    for _ in range(source.randint(1, 3)):
        start = source.randrange(len(text)) if text else 0
        stop = text[start : start + source.randint(1, 4)]
        if source.random() < 0.4:
            stop += source.choice("ae .x")
        stops.append(stop or "x")
    return stops


@pytest.mark.parametrize("family", ["learned", "byte level", "unigram", "cased word piece"])
def test_stop_strings_cut_where_a_plain_search_finds_them_and_hold_back_no_more(family: str) -> None:
    tokenizer, source = ALL[family](), random.Random(3)
    size, stopped = len(tokenizer), 0
    for index in range(400):
        if family == "learned" and index % 2:
            ids = tokenizer.encode(source.choice(TEXTS + JAPANESE), add_special_tokens=False)
        else:
            ids = random_ids(source, size)
        stops = random_stops(source, decode(tokenizer, ids))
        stream, known = StreamingDetokenizer(tokenizer, stops), ""
        for token, known in zip(ids, certain(tokenizer, ids), strict=True):
            stream.feed(token)
            assert stream.stopped == any(stop in known for stop in stops)
            if stream.stopped:
                break
            held = known[len(stream.text) :]
            assert known.startswith(stream.text) and any(stop.startswith(held) for stop in stops)
        known = known if stream.stopped else decode(tokenizer, ids)
        stream.finish()
        positions = [known.find(stop) for stop in stops if stop in known]
        assert stream.text == known[: min(positions, default=len(known))]
        assert stream.stopped == bool(positions)
        if stream.stopped:
            assert stream.feed(0) == stream.finish() == ""
        stopped += stream.stopped
    assert 100 < stopped < 400


def message(text: str, *stops: str) -> tuple[list[str], bool]:
    """The pieces of a text whose every character is a token, and whether it was stopped."""
    tokenizer = FAMILIES["byte level"]()
    vocabulary = tokenizer.get_vocab()
    stream = StreamingDetokenizer(tokenizer, stops)
    pieces = [stream.feed(vocabulary[letter]) for letter in text]
    return [*pieces, stream.finish()], stream.stopped


@pytest.mark.parametrize(
    ("text", "stops", "pieces", "stopped"),
    [
        ("abc", (), ["a", "b", "c", ""], False),
        ("abc", ("a",), ["", "", "", ""], True),
        ("xabc", ("abc",), ["x", "", "", "", ""], True),
        ("xabd", ("abc",), ["x", "", "", "abd", ""], False),
        ("xab", ("abc",), ["x", "", "", "ab"], False),
        ("aaab", ("aab",), ["", "", "a", "", ""], True),
        ("ababac", ("abac",), ["", "", "", "ab", "", "", ""], True),
        ("abcd", ("abcd", "bc"), ["", "", "a", "", ""], True),
        ("abcd", ("cd", "abcd"), ["", "", "", "", ""], True),
        ("xyz", ("z", "yz"), ["x", "", "", ""], True),
    ],
)
def test_stop_strings_by_hand(text: str, stops: tuple[str, ...], pieces: list[str], stopped: bool) -> None:
    assert message(text, *stops) == (pieces, stopped)


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stop_strings=\['a', ''\] holds an empty string"):
        StreamingDetokenizer(learned(), ["a", ""])


class JoinedLetters(Letters):
    """Without spaces between the letters."""

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)


def test_a_tokenizer_without_a_rust_backend_gives_its_text_at_the_end() -> None:
    tokenizer = JoinedLetters()
    ids = tokenizer.encode("Hello, how are you?", add_special_tokens=False)
    stream = StreamingDetokenizer(tokenizer)
    assert [stream.feed(token) for token in ids] == [""] * len(ids)
    assert stream.finish() == stream.text == "Hello, how are you?"
    stream = StreamingDetokenizer(tokenizer, ["how", "are"])
    assert not any(map(stream.feed, ids)) and not stream.stopped
    assert stream.finish() == stream.text == "Hello, " and stream.stopped


def test_control_tokens_are_left_out_at_any_position() -> None:
    tokenizer = ConversationTokenizer.learn(TEXTS, 320)
    hello = tokenizer.encode("Hello")
    for ids in ([2, *hello], [*hello, 2], [0, *hello[:1], 1, *hello[1:], 0], [0, 1, 2]):
        stream = StreamingDetokenizer(tokenizer.hf_tokenizer, ["!"])
        text = "".join(map(stream.feed, ids)) + stream.finish()
        assert text == ("" if ids == [0, 1, 2] else "Hello")
