"""Formats of document files: which is taken for which, what is in them, and what is said of what cannot be read."""

import ast
import gzip
import json
import random
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.document import DataFileError, Document, DocumentReader
from convmodel.data.formats import documents as python
from convmodel.data.formats import plain_text as text
from convmodel.data.formats.base import TextLine
from convmodel.data.formats.documents import FILE_FORMATS
from tests.conftest import random_text


def reader(folder: Path, content: str | bytes, *, name: str = "x", **options: Any) -> DocumentReader:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return DocumentReader(folder / name, **options)


# Which format


@pytest.mark.parametrize(
    ("content", "name", "format"),
    [
        ('{"body": "x"}', "x", "jsonl"),
        ('{"body": "x"}', "x.txt", "jsonl"),  # content counts more than the name
        ("{'body': 'x'}", "x.jsonl", "python"),
        (" { 'meta': None, 'body': \"x\"}\n", "x", "python"),
        ("Once upon a time", "x.TXT.gz", "text"),
        ("oops", "x.documents", "jsonl"),
        ("", "x", "jsonl"),
    ],
)
def test_a_format_is_known_by_content_then_by_name(tmp_path: Path, content: str, name: str, format: str) -> None:
    assert reader(tmp_path, content, name=name).format == format


def test_what_no_format_knows_is_shown_with_the_formats(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"x.md:1: the format cannot be recognised from its beginning, 'a,b'; .*"):
        reader(tmp_path, "a,b\n1,2\n", name="x.md")
    assert list(reader(tmp_path, "a,b\n1,2\n", name="x.csv", format="text")) == [Document("a,b\n1,2")]
    with pytest.raises(ValueError, match="format='cvs': allowed are python, jsonl, json, csv, tsv, text, file, h"):
        reader(tmp_path, "a,b", format="cvs")


# JSON Lines


def test_a_body_may_be_called_text_or_content(tmp_path: Path) -> None:
    lines = [{"text": "a"}, {"content": "b", "meta": ["c"]}, {"text": "no", "body": "yes"}]
    made = reader(tmp_path, "\n\n".join(map(json.dumps, lines)))
    assert list(made) == [Document("a"), Document("b", ["c"]), Document("yes")]
    assert made.report.unused == ["text"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON: .*; the JSON goes over several lines: write one document a line"),
        (
            "{'body': 'x'}",
            "not JSON: .*; this looks like Python .*: read it with format='python', or write it with json.dumps",
        ),
        ('["a"]', 'the line is a list; write {"body": "...", "meta": "..."}'),
        ('{"title": "x"}', r"the object has no body \(its keys: 'title'\); write"),
        ('{"body": 3}', "body is the number 3, not a string"),
        ('{"body": "x", "meta": {"a": {}}}', r"field 'a' is an object \(dict\); give a string"),
        ('{"body": "\\ud800"}', "body holds a lone surrogate"),
        ("[" * 100_000, "the JSON is nested too deeply; write"),
    ],
)
def test_an_error_says_where_what_and_the_cure(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(DataFileError, match=f"x:2: {told}") as caught:
        list(reader(tmp_path, '{"body": "x"}\n' + line, format="jsonl"))
    assert str(caught.value).endswith(", or read with on_error='skip'") and "\n" not in str(caught.value)


# Python


def test_lines_of_python_are_what_python_makes_of_them(tmp_path: Path) -> None:
    source = random.Random(0)
    rows = [{"body": random_text(source), "meta": [random_text(source)]} for _ in range(200)]
    made = list(reader(tmp_path, "\n".join(map(repr, rows))))
    assert made == [Document(row["body"], row["meta"]) for row in rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{'body': open('x')}", "not a Python literal: malformed node or string; write {'body'"),
        ("{'body': x}", "not a Python literal: malformed"),
        ("{'body': f'{1}'}", "not a Python literal: malformed"),
        ("{'body': 'x'", "not a Python literal: '{' was never closed at column 1; write"),
        ("{'body': 'x", r"not a Python literal: unterminated string literal.* at column 10; write"),
        ("{['a']: 'x'}", "not a Python literal: unhashable type: 'list'; write"),
        ("{'body': 'x'}" + "[" * 300, "not a Python literal: .*; write"),
        ("-" * 60_000 + "1", "not a Python literal: nested too deeply; write"),
        ("{'body': [" + "1," * 40_000 + "]}", "80,0.. characters are outside strings, 65,536 are allowed"),
        ("{'body': b'x'}", "body is of type bytes, not a string"),
        ("('body', 'x')", "the line is a list; write"),
        ("{'body': 'a\x00b'}", "not a Python literal: source code string cannot contain null bytes; write"),
    ],
)
def test_what_is_no_literal_is_never_executed_and_told(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(DataFileError, match=f"x:2: {told}") as caught:
        list(reader(tmp_path, "{'body': 'x'}\n" + line, format="python"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["\\'" * 2**20, "'" + "\\'" * 2**20 + "\\", '"\\' * 2**20, "'" * 2**20])
def test_quotes_that_are_never_closed_take_no_time(line: str) -> None:
    assert sum(map(len, python._STRING.split(line))) <= len(line)


def test_a_long_body_is_read_as_it_is(tmp_path: Path) -> None:
    body = 'it\'s "so" \\ long ' * 2**16
    assert list(reader(tmp_path, repr({"body": body}))) == [Document(body)]
    assert ast.literal_eval(repr(body)) == body


# Plain text


def test_blank_lines_part_documents(tmp_path: Path) -> None:
    made = reader(tmp_path, "\n \n  one\nmore \r\n\n\t\n\ntwo\n\n", name="x.txt")
    assert list(made.with_line_numbers()) == [(3, Document("  one\nmore ")), (8, Document("two"))]
    assert made.report.summary().endswith("x.txt: plain text, 2 documents")


def test_a_file_is_a_document_where_one_says_so(tmp_path: Path) -> None:
    made = reader(tmp_path, "\n \n  one\nmore \r\n\n\t\n\ntwo\n\n", format="file")
    assert list(made.with_line_numbers()) == [(3, Document("  one\nmore \n\n\t\n\ntwo"))]


def test_a_bad_line_costs_its_document_alone(tmp_path: Path) -> None:
    content = b"one\n\ntwo\nb\xe9d\nworse \xff\n\nthree"
    made = reader(tmp_path, content, name="x.txt", on_error="skip")
    assert [each.body for each in made] == ["one", "three"]
    [problem] = made.report.problems
    assert ":4: not UTF-8: byte 0xe9 at offset 10 (byte 2 of the line); save the file as UTF-8" in problem
    assert made.report.describe_skipped() == "1 document"


def test_a_document_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_CHARACTERS", 1000)

    def lines() -> Any:
        yield from (TextLine(number, f"{number:099}") for number in range(1, 10_000))
        yield TextLine(10_000, "")
        yield TextLine(10_001, "short")

    tracemalloc.start()
    problem, record = text.read_separated(lines())
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 200_000  # of the 999,900 characters that came
    assert problem.line == 1 and "longer than 1,000 characters; split it" in problem.message  # type: ignore[union-attr]
    assert (record.line, record.body) == (10_001, "short")  # type: ignore[union-attr]


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("second\n\nfile\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"first"))
    (tmp_path / "sub" / "c.TXT").write_text("third")
    (tmp_path / "notes.md").write_text("not read")
    made = DocumentReader(tmp_path)
    assert (made.format, [each.body for each in made]) == ("file", ["first", "second\n\nfile", "third"])
    assert [each.body for each in DocumentReader(tmp_path, format="text")] == ["first", "second", "file", "third"]
    before = made.fingerprint()
    (tmp_path / "b.txt").rename(tmp_path / "z.txt")
    assert made.fingerprint() != before


def test_an_error_in_a_folder_names_the_file_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("fine")
    (tmp_path / "b.txt").write_bytes(b"not\n\xff")
    with pytest.raises(DataFileError, match=rf"^{tmp_path}/b.txt:2: not UTF-8: byte 0xff"):
        list(DocumentReader(tmp_path))
    skipping = DocumentReader(tmp_path, on_error="skip")
    assert len(list(skipping)) == 1 and skipping.report.skipped == 1


def test_a_folder_that_holds_no_text_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("x")
    with pytest.raises(IsADirectoryError, match=r"is a folder \(x.md\); give one file of documents, or a folder of"):
        list(DocumentReader(tmp_path))
    with pytest.raises(IsADirectoryError, match=r"is a folder \(x.md\); give one file of documents"):
        DocumentReader(tmp_path, format="jsonl")


def test_a_folder_without_text_and_a_list_of_files_are_read_in_their_formats(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for name, content in (("a.jsonl", '{"body": "one"}\n'), ("b.json", '{"body": "two"}'), ("texts/c.txt", "a\n\nb")):
        (tmp_path / name).write_text(content)
    assert [made.body for made in DocumentReader(tmp_path / "*.json*")] == ["one", "two"]
    assert [made.body for made in DocumentReader([tmp_path / "a.jsonl", texts])] == ["one", "a\n\nb"]
    assert [made.body for made in DocumentReader(tmp_path)] == ["a\n\nb"]
    (texts / "c.txt").unlink()
    assert [made.body for made in DocumentReader(tmp_path)] == ["one", "two"]


# The Hub


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    pytest.importorskip("datasets")
    rows: list[dict[str, Any]] = [
        {"text": "one", "topic": "Cats", "stars": 3},
        {"text": "two", "topic": None, "stars": 5},
        {"text": "", "topic": "Dogs", "stars": 1},
    ]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "set"


def test_a_column_of_the_hub_is_the_body_and_others_may_be_the_meta(data_set: Path) -> None:
    address = f"hub://{data_set}?column=text"
    made = DocumentReader(address, on_error="skip")
    assert list(made) == [Document("one"), Document("two")]
    assert made.report.problems == [f"{address}:row 3: body is empty; remove it or give it text"]
    assert list(DocumentReader(address + "&meta=topic", on_error="skip")) == [Document("one", "Cats"), Document("two")]
    several = list(DocumentReader(address + "&meta=topic,stars", on_error="skip"))
    assert [each.meta for each in several] == [{"topic": "Cats", "stars": 3}, {"stars": 5}]


def test_what_is_wrong_with_an_address_is_told(data_set: Path) -> None:
    with pytest.raises(DataFileError, match=r"has no column 'topics'; write meta=... with one of text, topic, stars"):
        list(DocumentReader(f"hub://{data_set}?column=text&meta=topics"))
    with pytest.raises(DataFileError, match=r"the address names no column; write column=\.\.\."):
        list(DocumentReader(f"hub://{data_set}"))
    with pytest.raises(ValueError, match="unknown option 'meat'; allowed are column, meta, split, config, revision"):
        DocumentReader(f"hub://{data_set}?column=text&meat=x")
    with pytest.raises(ValueError, match=r"the name is empty; write it like hub://org/name\?column=text&split=train"):
        DocumentReader("hub://?column=text")


# All


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_damage_of_any_kind_is_told_in_one_line(tmp_path: Path, format: str) -> None:
    source = random.Random(7)
    good = {
        "jsonl": b'{"body": "a", "meta": ["b", {"c": 1}]}\n{"text": "a\\u00e9", "x": null}\n',
        "python": b"{'body': 'a', 'meta': ['b', {'c': 1}]}\n{'text': \"a\\xe9\", 'x': None}\n",
        "json": b'[{"body": "a", "meta": ["b", {"c": 1}]},\n{"text": "a\\u00e9", "x": null}]\n',
        "csv": b'body,meta\na,b\n"c, ""d""",\n',
        "tsv": b'body\tmeta\na\tb\n"c, ""d"""\t\n',
        "text": b"one\nmore\n\ntwo\n \nthree\n",
        "file": b"one\nmore\n\ntwo\n \nthree\n",
    }[format]
    pieces = [bytes([byte]) for byte in b"\xff\0\n\r\t\"'{[1: ("] + [b"\\ud800", b"\\N{", b"null", b"x" * 99, b""]
    for _ in range(300):
        content = good
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(len(content) + 1)
            content = content[:at] + source.choice(pieces) + content[at + source.randrange(3) :]
        made = reader(tmp_path, content, format=format, on_error="skip", max_line_bytes=90)
        with suppress(DataFileError):
            assert all(document.body.strip() for document in made)
        problems = made.report.problems
        assert len(problems) == made.report.skipped
        assert all("\n" not in problem and "; " in problem for problem in problems), problems


def test_every_format_has_its_own_names() -> None:
    assert [each.name for each in FILE_FORMATS.values()] == list(FILE_FORMATS)
    suffixes = [suffix for each in FILE_FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
