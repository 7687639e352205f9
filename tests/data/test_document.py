"""Documents and what is known of them: what is kept, what is refused, what a model reads of it, and files of them."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.document import (
    DataFileError,
    Document,
    DocumentReader,
    check_meta,
    format_meta,
    read_documents,
    write_documents,
)

# Documents


def test_a_body_is_kept_character_for_character() -> None:
    text = "  Cats\r\n\tand\u3000dogs \n"
    assert Document(text).body == text
    assert Document(text) == Document(text, None) and hash(Document(text)) == hash(Document(text, "x"))


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        ("", ValueError, "body is empty; remove it or give it text"),
        (" \n", ValueError, "body is only white space; remove it"),
        (None, TypeError, r"body is null \(None\), not a string"),
        (["a"], TypeError, "body is a list, not a string"),
        ("a\ud800", ValueError, r"body holds a lone surrogate \(U\+D800, character 2\); remove or replace it"),
    ],
)
def test_what_is_no_body_is_told_with_the_cure(body: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Document(body)


@pytest.mark.parametrize("nothing", [None, "", " \n", [], [None, " "], {}, {"a": None, "b": [], "c": "\t"}])
def test_a_meta_with_nothing_in_it_is_none(nothing: Any) -> None:
    assert Document("x", nothing).meta is None


def test_a_meta_is_a_string_or_a_list_or_an_object() -> None:
    assert Document("x", " Cats ").meta == " Cats "
    assert Document("x", ["Cats", 3, ""]).meta == ("Cats", 3)
    assert Document("x", {"topic": ["Cats", "dogs"], "year": 1999, "by": ""}).meta == {
        "topic": ("Cats", "dogs"),
        "year": 1999,
    }
    assert Document("x", 1999).meta == "1999"


@pytest.mark.parametrize(
    ("meta", "error", "told"),
    [
        ([["a"]], TypeError, "item 1 of meta is a list; give a string"),
        ({"a": {"b": "c"}}, TypeError, r"field 'a' is an object \(dict\); give a string"),
        ({"a": ["b", {}]}, TypeError, r"item 2 of field 'a' is an object"),
        (b"Cats", TypeError, "meta is of type bytes; give"),
        ({"": "b"}, ValueError, "meta has a field whose name is the string ''; give it a name"),
        ({3: "b"}, ValueError, "meta has a field whose name is the number 3"),
        (["\udfff"], ValueError, "item 1 of meta holds a lone surrogate"),
        ({"\udfff": "a"}, ValueError, "name of a field of meta holds a lone surrogate"),
    ],
)
def test_what_is_no_meta_is_told_with_the_cure(meta: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        Document("x", meta)


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        (None, ""),
        (" Cats,\ndogs ", " Cats,\ndogs "),
        (["Cats", " big\n dogs "], "Cats, big dogs"),
        ({"topic": ["Cats", "dogs"], "year": 1999, "new": True}, "topic: Cats, dogs\nyear: 1999\nnew: true"),
        ({"topic": "Cats\nyear: 2000", "a\nb": "c"}, "topic: Cats year: 2000\na b: c"),
        ({"x": "a\u2028y: b\x85z: c\x0bw: d"}, "x: a y: b z: c w: d"),
    ],
)
def test_no_value_of_a_meta_can_pose_as_another_field(meta: Any, text: str) -> None:
    checked = check_meta(meta)
    assert format_meta(checked) == text
    if isinstance(checked, dict):
        assert len(text.splitlines()) == len(checked)


# Files

DOCUMENTS = [
    Document("One"),
    Document("Two\n\nlines \u2028 and 日本語", "Cats"),
    Document(" x", ["a", 2, True]),
    Document("y", {"topic": ["Cats"], "year": 1.5}),
]


@pytest.mark.parametrize("name", ["x.jsonl", "x.documents.gz"])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, name: str) -> None:
    assert write_documents(DOCUMENTS, tmp_path / name) == 4
    assert list(read_documents(tmp_path / name)) == DOCUMENTS
    assert write_documents(read_documents(tmp_path / name), tmp_path / name) == 4  # into the file that is read
    assert [each.meta for each in read_documents(tmp_path / name)] == [each.meta for each in DOCUMENTS]


def test_what_cannot_be_written_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    bad: Any = "text"
    with pytest.raises(TypeError, match="document 2 is the string 'text'; make it a Document"):
        write_documents([Document("x"), bad], tmp_path / "x")
    with pytest.raises(ValueError, match="document 1: meta cannot be written as JSON"):
        write_documents([Document("x", [math.nan])], tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_skipped_lines_are_counted_and_unused_keys_are_told(tmp_path: Path) -> None:
    lines = [{"body": "a", "id": 1}, {"body": ""}, {"body": "b", "meta": "x", "url": "u"}, {"turns": []}]
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    reader = DocumentReader(tmp_path / "x.jsonl.gz", on_error="skip")
    for _ in range(2):
        assert [(line, made.body) for line, made in reader.with_line_numbers()] == [(1, "a"), (3, "b")]
    path = tmp_path / "x.jsonl.gz"
    assert reader.report.summary() == (
        f"{path}: JSON Lines, 2 documents, 1 with meta, other keys not used: 'id', 'url'; "
        f"2 lines skipped: first {path}:2: body is empty; remove it or give it text"
    )
    assert reader.report.problems[1].startswith(f"{path}:4: the object has no body (its keys: 'turns'); write {{")
    with pytest.raises(DataFileError, match=r"gz:2: body is empty; remove .*, or read with on_error='skip'"):
        list(read_documents(path))


def test_a_file_without_a_usable_document_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("\n")
    with pytest.raises(DataFileError, match="x: there are no documents in it; check that it is the right one"):
        list(read_documents(tmp_path / "x"))
    (tmp_path / "x").write_text('{"meta": "Cats"}')
    with pytest.raises(DataFileError, match=r"x: no document could be used, 1 line skipped; first .*x:1: the object"):
        list(read_documents(tmp_path / "x", on_error="skip"))
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file"):
        read_documents(tmp_path / "nowhere")


def test_a_page_of_html_is_a_document_and_a_pointer_is_not(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("<html><body>Hello</body></html>\n")
    assert [made.body for made in DocumentReader(tmp_path / "page.txt")] == ["<html><body>Hello</body></html>"]
    (tmp_path / "x.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(ValueError, match="is a pointer of Git LFS"):
        DocumentReader(tmp_path / "x.txt")


def test_a_fingerprint_changes_with_the_bytes_and_with_how_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a\n\nb")
    text, file = (DocumentReader(tmp_path / "x.txt", format=name).fingerprint() for name in ("text", "file"))
    (tmp_path / "x.txt").write_text("a\n\nc")
    assert len({text, file, DocumentReader(tmp_path / "x.txt").fingerprint()}) == 3


@pytest.mark.data
@pytest.mark.parametrize(("name", "documents", "words"), [("train", 393, 87_100), ("valid", 71, 11_766)])
def test_the_real_documents_are_read(data_folder: Path, name: str, documents: int, words: int) -> None:
    found = list(read_documents(data_folder / "nietzsche" / f"{name}.documents"))
    assert (len(found), sum(len(each.body.split()) for each in found)) == (documents, words)
