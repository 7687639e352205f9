"""Which format a file is taken to be of."""

import random
from contextlib import suppress
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError
from convmodel.data.formats.conversations import FILE_FORMATS


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
    assert all(f"({name})" in message for name in FILE_FORMATS)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_told_when_it_is_read(reader: Any, content: str) -> None:
    with pytest.raises(ConversationFileError, match="there are no conversations in it"):
        list(reader(content))


@pytest.mark.parametrize("format", FILE_FORMATS)
def test_damage_of_any_kind_is_a_conversation_file_error(reader: Any, format: str) -> None:
    rng = random.Random(6)
    good = {
        "jsonl": b'["a", "b"]\n{"turns": ["a", "b"], "x": {"y": null}}\n{"messages": [{"role": "user"}]}\n',
        "parlai": b"text:your persona: a\\nb\tlabels:c|d\tepisode_done:True\ntext:a\tlabels:b\n",
        "fbdialog": b"1 your persona: a\n2 a\tb|c\t\tb|c\n1 a\tb\n",
        "csv": b'context,response,x\na,b,c\n"a\nb","c,""d""",e\n',
        "ubuntu": b'Context,Utterance,Label\na __eou__ __eot__,"b\nc",1\n"a, b __eot__",c __eou__,0\na,b,1\n',
        "tsv": b'context\tresponse\na\tb\n"a\nb"\t"c"\n',
    }[format]
    pieces = [bytes([byte]) for byte in b"\xff\0\n\r\t\"'{[1: "] + [b"\\ud800", b"null", b"x" * 99, b""]
    for _ in range(300):
        content = good
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(pieces) + content[at + rng.randrange(3) :]
        made = reader(content, format=format, on_error="skip", max_line_bytes=120)
        with suppress(ConversationFileError):
            for conversation in made:
                assert len(conversation.turns) >= 2
        problems = made.report.problems
        assert len(problems) == made.report.skipped
        assert all("\n" not in problem and "; " in problem for problem in problems), problems
