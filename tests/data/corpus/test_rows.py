"""Lines of dumps, and files of rows."""

import gzip
from pathlib import Path

import pytest
import zstandard

from convmodel.data.containers import DamagedContainer
from convmodel.data.corpus.rows import LARGEST_LINE, BucketWriter, Row, bucket_file, read_lines, read_rows


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_are_those_of_the_file_however_it_is_compressed(tmp_path: Path, end: bytes) -> None:
    lines = [b"a", b"", "ä🙂".encode(), b"x" * 3_000_000, b"last"]
    content = b"\n".join(lines) + end
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(content))
    for name in ("plain", "a.gz", "a.zst"):
        assert list(read_lines(str(tmp_path / name))) == lines


def test_lines_that_are_too_long_are_none_wherever_they_stand(tmp_path: Path) -> None:
    long = b"x" * (3 * LARGEST_LINE)
    file = tmp_path / "dump.zst"
    for lines, expected in (
        ([b"a", long, b"b"], [b"a", None, b"b"]),
        ([long, long, b"b"], [None, None, b"b"]),
        ([b"a", long], [b"a", None]),
    ):
        file.write_bytes(zstandard.compress(b"\n".join(lines)))
        assert list(read_lines(str(file))) == expected


def test_a_file_of_the_largest_window_is_read_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = packed.compress(b"line\n" * 1_000) + packed.flush()
    file = tmp_path / "dump.zst"
    file.write_bytes(content)
    assert list(read_lines(str(file))) == [b"line"] * 1_000
    file.write_bytes(content[:-3])
    with pytest.raises(DamagedContainer, match="damaged or cut off"):
        list(read_lines(str(file)))


def test_rows_come_back_by_bucket_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convmodel.data.corpus.rows._HELD", 100)
    rows: list[Row] = [[n, "x" * (n % 7), None] for n in range(50)]
    writer = BucketWriter(tmp_path, 4)
    for n, row in enumerate(rows):
        writer.add(n % 3, row)
    writer.flush()
    assert [list(read_rows(bucket_file(tmp_path, n))) for n in range(3)] == [rows[0::3], rows[1::3], rows[2::3]]
    assert not bucket_file(tmp_path, 3).exists()
