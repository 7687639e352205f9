"""Files of a finished corpus."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet
import pytest
import zstandard

from convmodel.data.corpus.shards import SUFFIXES, write_shard

ITEMS = [{"turns": ["Hello", "日本語"], "meta": {"thread": "t"}}, {"turns": ["a", "b", "c"], "meta": {"thread": "u"}}]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shard_has_the_conversations_and_always_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        write_shard(ITEMS, file)
    content = files[0].read_bytes()
    assert content == files[1].read_bytes()
    if suffix == ".parquet":
        assert pyarrow.parquet.read_table(files[0]).to_pylist() == ITEMS
        return
    if suffix.endswith(".zst"):
        content = zstandard.decompress(content)
    elif suffix.endswith(".gz"):
        content = gzip.decompress(content)
    assert [json.loads(line) for line in content.splitlines()] == ITEMS
