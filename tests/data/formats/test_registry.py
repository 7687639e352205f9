"""Which format a file is taken to be of."""

import random
from contextlib import suppress
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError
from convmodel.data.formats.conversations import FILE_FORMATS
from tests.data.conftest import EXAMPLES, example_options


def test_content_counts_more_than_the_name(reader: Any) -> None:
    assert reader('["a", "b"]', name="x.csv").format == "jsonl"
    assert reader("context,response\na,b", name="x.jsonl").format == "csv"


def test_the_name_counts_when_the_content_tells_nothing(reader: Any) -> None:
    assert reader("oops", name="x.jsonl").format == "jsonl"
    assert reader("oops", name="X.TSV.gz").format == "tsv"


def test_a_given_format_is_not_doubted(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=":1: the line begins with"):
        list(reader('["a", "b"]', format="fbdialog"))


def test_content_that_no_format_knows_is_shown_with_the_formats(reader: Any) -> None:
    with pytest.raises(ConversationFileError) as caught:
        reader("\n\nOnce upon a time, " + "x" * 1000)
    message = str(caught.value)
    assert "'Once upon a time, xxxx" in message and len(message) < 500
    assert all(name in message for name in FILE_FORMATS)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_told_when_it_is_read(reader: Any, content: str) -> None:
    with pytest.raises(ConversationFileError, match="there are no conversations in it"):
        list(reader(content))


@pytest.mark.parametrize("format", sorted(FILE_FORMATS.keys() & EXAMPLES.keys()))
def test_damage_of_any_kind_is_a_conversation_file_error(reader: Any, format: str) -> None:
    rng = random.Random(6)
    good = {
        "jsonl": b'["a", "b"]\n{"turns": ["a", "b"], "x": {"y": null}}\n{"messages": [{"role": "user"}]}\n',
        "parlai": b"text:your persona: a\\nb\tlabels:c|d\tepisode_done:True\ntext:a\tlabels:b\n",
        "fbdialog": b"1 your persona: a\n2 a\tb|c\t\tb|c\n1 a\tb\n",
        "csv": b'context,response,x\na,b,c\n"a\nb","c,""d""",e\n',
        "ubuntu": b'Context,Utterance,Label\na __eou__ __eot__,"b\nc",1\n"a, b __eot__",c __eou__,0\na,b,1\n',
        "json": b'[["a", "b"],\n{"turns": ["a", "b"], "x": {"y": null}},\n{"messages": [{"role": "user"}]}]\n',
        "whatsapp": b"01/05/2024, 10:00 - Ida: a\nb\n01/05/2024, 10:01 - Bo: c\n01/06/2024, 10:01 - Ida: d\n",
        "tsv": b'context\tresponse\na\tb\n"a\nb"\t"c"\n',
    }.get(format) or EXAMPLES[format].encode()
    pieces = [bytes([byte]) for byte in b"\xff\0\n\r\t\"'{[1: "] + [b"\\ud800", b"null", b"x" * 99, b""]
    for _ in range(150):
        content = good
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(pieces) + content[at + rng.randrange(3) :]
        made = reader(content, format=format, on_error="skip", max_line_bytes=120, **example_options(format))
        with suppress(ConversationFileError):
            for conversation in made:
                assert len(conversation.turns) >= 2
        problems = made.report.problems
        assert len(problems) == min(made.report.skipped, 10)
        assert all("\n" not in problem and "; " in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('[["a", "b"], ["c", "d"]]', "json"),
        ('[\n["a", "b"],\n["c", "d"]\n]', "json"),
        ('[{"id": 1, "conversations": [{"from": "human", "value": "a"}]}]', "json"),
        ('{\n "turns": ["a", "b"]\n}\n', "json"),
        ('[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]', "jsonl"),
        ('["a", "b"]\n["c", "d"]', "jsonl"),
        ("[24.12.23, 18:03:11] Ida: Hello", "whatsapp"),
        ("\u200e[1/5/24, 10:00:00\u202fPM] Ida: \u200eimage omitted", "whatsapp"),
        ("2024-05-01, 10:00 - Ida: Hello", "whatsapp"),
        ("context;response\na;b", "csv"),
    ],
)
def test_a_format_is_recognised_by_more_than_its_first_character(reader: Any, content: str, format: str) -> None:
    assert reader(content).format == format


def test_utf_16_without_a_mark_is_proposed(reader: Any) -> None:
    content = "context,response\na,b\n".encode("utf-16-le")
    with pytest.raises(ConversationFileError, match=r":1: is not text, or UTF-16 .* read it with encoding='utf-16-le'"):
        reader(content)
    assert reader(content, encoding="utf-16-le").format == "csv"
    content = '["a", "b"]\n'.encode("utf-16-be")
    with pytest.raises(ConversationFileError, match=r":1: is not text, or UTF-16 .* read it with encoding='utf-16-be'"):
        reader(content, name="x.jsonl")
    assert [each.turns for each in reader(content, name="x.jsonl", encoding="utf-16-be")] == [("a", "b")]


@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.txt"])
def test_a_page_of_html_is_told_whatever_its_name(reader: Any, name: str) -> None:
    with pytest.raises(ConversationFileError, match=":1: is a page of HTML"):
        reader("<!DOCTYPE html><html><body>Not found</body></html>", name=name)


def test_what_fits_two_formats_equally_is_told_with_both(reader: Any) -> None:
    content = "context,response\tcontext,response\n"
    with pytest.raises(ConversationFileError, match=r"may be CSV \(csv\) or TSV \(tsv\); say which with format="):
        reader("context,response\tresponse\tcontext\n".replace("context,response", "x,context,response,y"))
    assert reader("x,context,response,y\tresponse\tcontext\n", name="a.tsv").format == "tsv"
    assert content


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet", "x.csv", "x.txt"])
def test_a_pointer_of_git_lfs_is_told(reader: Any, name: str) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"
    with pytest.raises(ConversationFileError, match=r":1: is a pointer of Git LFS, .* run git lfs pull"):
        reader(pointer, name=name)
