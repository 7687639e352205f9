"""Conversations in, seconds until their token ids are there out: ours beside one `encode` for each turn."""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import GPT2Tokenizer

from benchmarks.common import (
    RATIO_COLUMNS,
    Ratio,
    add_common_options,
    add_data_option,
    conversation_files,
    described,
    interleave,
    limited_threads,
    machine,
    peak_memory,
    table,
    tell,
    write_report,
)
from convmodel.data.conversation import Conversation, ConversationReader, read_conversations
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import CHUNK, TokenStore, store_key

PEER_NAME = "one encode per turn"
AT_LEAST = 2.5
ODD_PIECES = [
    *["hello", " world", "I'm", "don't", "2026", "3.14", "...", "?!", "#tag", "@you", "<", ">", "</b>"],
    *[" ", "  ", "     ", "\t", "\t\t", "\n", "\n\n\n", "\r\n", "\u00a0", "\u2003", "\u3000", " \n \t "],
    *["\x00", "\x01", "\x07", "\x08", "\x1b[31m", "\x7f", "\x85"],
    *["\u200b", "\u200d", "\u202e", "\u2028", "\ufeff"],
    *["👋", "😂😂😂", "👩‍👩‍👧", "🏳️‍🌈", "🇯🇵", "👍🏽", "❤️", "e\u0301", "ß", "ﬁ", "Ω", "ж", "العربية", "한국어"],
    *["こんにちは", "元気ですか？", "私は学生です。", "カタカナ", "ｶﾀｶﾅ", "東京"],
    *["「はい」", "〜", "ー", "か\u3099", "𠮷野家"],
]


def odd_texts(number: int) -> list[str]:
    """Texts of emoji, Japanese, white-space runs and control characters, the same in every run."""
    source = random.Random(0)
    return ["".join(source.choices(ODD_PIECES, k=source.randint(1, 12))) for _ in range(number)]


def load_tokenizer(data: Path, texts: Iterable[str], *, smoke: bool) -> tuple[ConversationTokenizer, str]:
    """GPT-2's vocabulary where it is there, else one learned from the texts; and its name."""
    folder = data / "gpt2_bpe"
    if folder.is_dir() and not smoke:
        return ConversationTokenizer(GPT2Tokenizer.from_pretrained(folder)), "GPT-2's vocabulary"
    if not smoke:
        tell("gpt2_bpe is not there (--data or CONVMODEL_DATA): measured with a learned vocabulary instead")
    return ConversationTokenizer.learn(texts, 1024), "a learned vocabulary of 1,024 tokens"


def chunks(conversations: list[Conversation]) -> Iterator[list[str]]:
    """The texts that the token store hands over in one call."""
    rest = iter(conversations)
    while chunk := list(islice(rest, CHUNK)):
        yield [text for c in chunk for text in (*c.persona, *c.turns)]


def peer_encode(tokenizer: ConversationTokenizer, texts: list[str]) -> list[list[int]]:
    """What everybody writes first."""
    encode = tokenizer.hf_tokenizer.encode
    return [encode(text, add_special_tokens=False) for text in texts]


def check_equal(tokenizer: ConversationTokenizer, texts: list[str]) -> None:
    """Compares every id.

    Raises:
        ValueError: at the first text that differs.
    """
    both = zip(texts, tokenizer.encode_many(texts), peer_encode(tokenizer, texts), strict=True)
    for text, ours, theirs in both:
        if ours != theirs:
            raise ValueError(f"the ids of {text!r} differ: ours {ours}, {PEER_NAME} {theirs}")


def ours_seconds(tokenizer: ConversationTokenizer, conversations: list[Conversation]) -> float:
    """The time of the token store's calls."""
    begin = time.perf_counter()
    for texts in chunks(conversations):
        tokenizer.encode_many(texts)
    return time.perf_counter() - begin


def peer_seconds(tokenizer: ConversationTokenizer, conversations: list[Conversation]) -> float:
    """The time of the peer's calls."""
    begin = time.perf_counter()
    for texts in chunks(conversations):
        peer_encode(tokenizer, texts)
    return time.perf_counter() - begin


@contextmanager
def counted_calls(tokenizer: ConversationTokenizer) -> Iterator[list[int]]:
    """Collects how many texts each call of `encode_many` encodes."""
    calls: list[int] = []
    encode = tokenizer.encode_many

    def counting(texts: Any) -> list[list[int]]:
        calls.append(len(texts))
        return encode(texts)

    tokenizer.encode_many = counting  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        del tokenizer.encode_many


def measure_store(file: Path, tokenizer: ConversationTokenizer) -> dict[str, Any]:
    """What a first start (read, encode, write) and a second (find, map) take, and how much they encode."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as cache:
        for start in ("first", "second"):
            begin = time.perf_counter()
            with counted_calls(tokenizer) as calls:
                folder = Path(cache) / store_key(ConversationReader(file).fingerprint(), tokenizer, on_error="stop")
                if not folder.is_dir():
                    TokenStore.build(read_conversations(file), tokenizer, folder)
                store = TokenStore(folder)
                tokens = int(store.segment_lengths().sum())
            found[start] = {"seconds": time.perf_counter() - begin, "texts": sum(calls), "tokens": tokens}
    return found


def check_key(files: dict[str, Path], tokenizer: ConversationTokenizer) -> None:
    """Another file, tokenizer or option must have another key; the same ones the same."""
    digest, other = (ConversationReader(files[split]).fingerprint() for split in ("train", "valid"))
    another = ConversationTokenizer.learn(["another vocabulary"], 300)
    kept = store_key(digest, tokenizer, on_error="stop")
    assert kept == store_key(digest, tokenizer, on_error="stop")
    others = {
        store_key(other, tokenizer, on_error="stop"),
        store_key(digest, another, on_error="stop"),
        store_key(digest, tokenizer, on_error="skip"),
    }
    assert len(others - {kept}) == 3, "the store's key does not tell file, tokenizer and options apart"


def run(options: argparse.Namespace) -> tuple[Ratio, dict[str, Any]]:
    """Checks, then measures."""
    files = conversation_files(options.data, smoke=options.smoke)
    splits = {split: list(read_conversations(file)) for split, file in files.items()}
    texts = [text for found in splits.values() for c in found for text in (*c.persona, *c.turns)]
    tokenizer, vocabulary = load_tokenizer(options.data, texts, smoke=options.smoke)
    odd = odd_texts(200 if options.smoke else 20_000)
    for start in range(0, len(texts), 10_000):
        check_equal(tokenizer, texts[start : start + 10_000])
    check_equal(tokenizer, odd)
    check_key(files, tokenizer)
    tell(f"ids are identical: {len(texts):,} turns and {len(odd):,} odd texts")
    conversations = splits["train"][: 300 if options.smoke else None]
    turns = sum(len(c.persona) + len(c.turns) for c in conversations)
    timers = {
        "ours": partial(ours_seconds, tokenizer, conversations),
        PEER_NAME: partial(peer_seconds, tokenizer, conversations),
    }
    runs = interleave(timers, 1 if options.smoke else options.rounds)
    measured = {
        "vocabulary": vocabulary,
        "texts_compared": len(texts),
        "odd_texts_compared": len(odd),
        "turns": turns,
        "seconds": runs,
        "starts": measure_store(files["train"], tokenizer),
        "peak_memory_mib": peak_memory() >> 20,
    }
    at_least = None if options.smoke else AT_LEAST
    return Ratio.of(PEER_NAME, runs[PEER_NAME], runs["ours"], at_least=at_least), measured


def shown(ratio: Ratio, measured: dict[str, Any]) -> str:
    """The tables."""
    turns = measured["turns"]
    medians = {name: statistics.median(times) for name, times in measured["seconds"].items()}
    speeds = {name: [f"{seconds:.2f} s", f"{turns / seconds:,.0f}"] for name, seconds in medians.items()}
    rows = [
        ["ours", *speeds["ours"], *ratio.cells()],
        [f"peer: {PEER_NAME}", *speeds[PEER_NAME], "", "", "", ""],
    ]
    first = table([f"{turns:,} turns, {measured['vocabulary']}", "median", "turns/s", *RATIO_COLUMNS], rows)
    starts = [
        [f"{name} start", f"{found['seconds']:.2f} s", f"{found['texts']:,}"]
        for name, found in measured["starts"].items()
    ]
    second = table(["file to mapped tokens", "seconds", "texts encoded"], starts)
    return f"{first}\n\n{second}\n\npeak memory of the whole benchmark: {measured['peak_memory_mib']:,} MiB"


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenization", description=__doc__)
    add_common_options(parser, name="tokenization", rounds=5)
    add_data_option(parser)
    options = parser.parse_args(arguments)
    facts = machine(options.threads)
    with limited_threads(options.threads):
        ratio, measured = run(options)
    print(described(facts), shown(ratio, measured), sep="\n\n")
    write_report(options.output, facts, ratios=[ratio], measured=measured)


if __name__ == "__main__":
    main()
