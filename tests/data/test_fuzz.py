"""Any bytes, with any recognised or given format, give conversations or an error that names the file."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convmodel.data.conversation import ConversationReader
from convmodel.data.document import DocumentReader
from convmodel.data.formats.conversations import FILE_FORMATS
from convmodel.data.formats.documents import FILE_FORMATS as DOCUMENT_FORMATS
from convmodel.data.selection_example import SelectionReader
from tests.data.conftest import EXAMPLES as DOCUMENTED

EXAMPLES = [
    b'["a", "b"]\n{"turns": ["a", "b"], "x": {"y": null}}\n{"messages": [{"role": "user", "content": "a"}]}\n',
    b'[{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},\n'
    b' {"prompt": 1, "output": []}]',
    b'{"train": [["a", "b"]], "valid": {"x": {"question": "a", "answer": "b"}}}',
    b'context,response,candidates\na,b,c\n"a\nb","c,""d""",e\n,,\n',
    b"sep=;\r\nconversation_id;speaker;text\r\n1;a;b\r\n1;user;c\r\n2;a;b\r\n",
    b'Context,Utterance,Label\na __eou__ __eot__,"b\nc",1\n',
    b"text:your persona: a\\nb\tlabels:c|d\tlabel_candidates:c|e\tepisode_done:True\n",
    b"1 your persona: a\n2 a\tb|c\t\tb|c\n1 a\tb\n",
    "[24.12.23, 18:03:11] Ida: Hello\n\u200e[24.12.23, 18:03:12] Bo: \u200eimage omitted\n".encode(),
    b"01/05/2024, 10:00 PM - Ida: a\nb\n13/05/2024, 10:01 - Bo: c\n99/99/2024, 25:61 - Bo: c\n",
    b"{'body': 'a', 'meta': [1e999]}\n",
    b'{"prompt": {"role": "prompter", "text": "a", "replies": [{"role": "assistant", "text": "b", "rank": 0}]}}\n',
    b'{"message_id": 1, "parent_id": null, "role": "user", "text": "a"}\n'
    b'{"message_id": 2, "parent_id": 1, "role": "bot", "text": "b", "rank": "1"}\n',
    b'{"chosen": "Human: a\\n\\nBot: b", "rejected": [{"role": "user"}]}\n',
    b'{"dialog": [[{"text": "a"}, {"id": 1, "text": "b"}]]}\n',
    b'{"personality": [], "utterances": [{"history": ["a"], "candidates": ["b", "c"]}]}\n',
    b'{"question": ["a", "b"], "answer": ["c"]}',
    b'{"conv_id": {"0": 1, "1": 1}, "text": {"0": "a", "2": "b"}}',
    b"L1 +++$+++ u0 +++$+++ m0 +++$+++ A +++$+++ a\nu0 +++$+++ u1 +++$+++ m0 +++$+++ ['L1', 'L2']\n",
    b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>a\n- b\n\n00:03.000 --> 99:99:99.999\nA: b\n",
    *(content.encode() for name, content in DOCUMENTED.items() if name in FILE_FORMATS),
]
PIECES = [bytes([byte]) for byte in b"\xff\0\n\r\t\"'{[]}:;,|\\1 "] + [
    *(b"\\ud800", b"null", b"NaN", b"1e999", b"[" * 3000, b'{"a":' * 3000, b'"x"', b"x" * 200, b"\xe2\x80\x8e", b""),
    *(b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"9" * 5000, b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"),
]


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.json", content)
        archive.writestr("more", content)
    return packed.getvalue()


PACKERS: list[Callable[[bytes], bytes]] = [
    *(gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress, zipped),
]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Bytes of any kind: random ones, and examples that are damaged, recoded or packed and damaged again."""
    content = draw(st.one_of(st.sampled_from(EXAMPLES), st.binary(max_size=200)))
    content = damage(draw, content)
    if draw(st.integers(0, 4)) == 0:
        content = content.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])))
        content = damage(draw, content)
    if draw(st.integers(0, 4)) == 0:
        content = damage(draw, draw(st.sampled_from(PACKERS))(content))
    return content


def damage(draw: st.DrawFn, content: bytes) -> bytes:
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.sampled_from(PIECES)) + content[at + draw(st.integers(0, 4)) :]
    return content


@pytest.mark.parametrize("reader", [ConversationReader, SelectionReader, DocumentReader])
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_bytes_give_items_or_an_error_with_the_file_name(tmp_path: Path, reader: type, data: st.DataObject) -> None:
    path = tmp_path / data.draw(st.sampled_from(["x", "x.json", "x.csv", "x.txt", "x.parquet", "x.zip", "x.jsonl.gz"]))
    path.write_bytes(data.draw(files()))
    formats = DOCUMENT_FORMATS if reader is DocumentReader else FILE_FORMATS
    has_all = reader is not DocumentReader
    options = {
        "format": data.draw(st.sampled_from([None, None, *formats])),
        "on_error": data.draw(st.sampled_from(["stop", "skip"])),
        "max_line_bytes": data.draw(st.sampled_from([None, 50])),
        "encoding": data.draw(st.sampled_from([None, None, "cp1252", "shift_jis", "utf-16", "utf-7"])),
        "columns": data.draw(st.sampled_from([None, None, "context=a,response=b", "id=x,text=text"]))
        if has_all
        else None,
        "me": data.draw(st.sampled_from([None, "bo"])) if has_all else None,
    }
    try:
        found = reader(path, **options)
        for _ in found:
            pass
        assert len(found.report.problems) == min(found.report.skipped, 10)
    except ValueError as error:  # DataFileError is one
        assert str(path) in str(error) and "\n" not in str(error)
