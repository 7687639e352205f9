"""The cache of vocabularies and tokens: what is read again, and what is not."""

from pathlib import Path

import pytest

pytest.importorskip("pytorch_lightning")

from convmodel.data.conversation import ConversationReader
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.store import to_segments
from convmodel.training.datamodules.token_cache import TokenCache


def test_the_same_bytes_and_options_are_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('["one", "two"]\n')
    cache = TokenCache(str(tmp_path / "cache"), "stop", to_segments)

    def tokenised(**options: int) -> tuple[int, int]:
        reader = ConversationReader(file, **options)  # type: ignore[arg-type]
        store = cache.tokenise(reader, cache.learn_tokenizer(reader, ConversationTokenizer, 300))
        return len(store), reader.report.conversations

    assert tokenised() == (1, 1)
    assert tokenised() == (1, 0)
    assert tokenised(max_line_bytes=1000) == (1, 1)
    file.write_text('["one", "two"]\n["three", "four"]\n')
    assert tokenised() == (2, 2)


def test_a_cache_that_cannot_be_written_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('["one", "two"]\n')
    reader = ConversationReader(file)
    cache = TokenCache(str(file / "cache"), "stop", to_segments)
    with pytest.raises(OSError, match=r"a\.jsonl: is a file, .* \(data\.cache_dir, or \$CONVMODEL_CACHE\)$"):
        cache.learn_tokenizer(reader, ConversationTokenizer, 300)
    assert reader.report.conversations == 0
