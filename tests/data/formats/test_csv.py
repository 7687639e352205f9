"""CSV and TSV: columns, quotes, and the lines at which rows begin."""

import csv
import io
import random
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError


def test_each_row_is_a_conversation_of_two_turns(reader: Any) -> None:
    made = reader('context,response\nHello,Hi\n\n"a, b","c ""d"""\n')
    assert made.format == "csv"
    assert [each.turns for each in made] == [("Hello", "Hi"), ("a, b", 'c "d"')]


def test_tabs_make_a_tsv(reader: Any) -> None:
    made = reader("response\tcontext\nHi, you\tHello\n")
    assert made.format == "tsv"
    assert [each.turns for each in made] == [("Hello", "Hi, you")]


def test_other_columns_become_meta_and_names_are_case_insensitive(reader: Any) -> None:
    (conversation,) = reader(b'\xef\xbb\xbfId,Context, RESPONSE\r\n7,"a\r\nb",c\r\n')
    assert conversation == Conversation(["a\nb", "c"], meta={"Id": "7"})


def test_a_row_is_told_by_the_line_on_which_it_begins(reader: Any) -> None:
    content = 'context,response\n"a\nb\nc",d\n"e\nf",\ng,h\n'
    with pytest.raises(ConversationFileError, match=":5: turn 2 is empty"):
        list(reader(content))
    made = reader(content, on_error="skip")
    assert [each.turns for each in made] == [("a\nb\nc", "d"), ("g", "h")]


def test_a_row_with_too_many_columns_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":3: the row has 3 columns, the header 2; quote .* a comma"):
        list(reader("context,response\na,b\nHello, you,Hi\n"))
    with pytest.raises(ConversationFileError, match=r":2: the row has 1 columns, the header 2; quote .* a tab"):
        list(reader("context\tresponse\na\n"))


def test_a_quote_that_is_never_closed_is_told(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match=r":3: not a row: .*close the quotes"):
        list(reader('context,response\na,b\n"c,d\ne,f\n'))
    with pytest.raises(ConversationFileError, match=r":2: not a row: field larger than .* close the quotes"):
        list(reader('context,response\n"c,d\n' + "e,f\n" * 40_000))


def test_bad_bytes_inside_quotes_cost_only_their_row(reader: Any) -> None:
    made = reader(b'context,response\n"a\n\xff\nb",c\nd,e\n', on_error="skip")
    assert [each.turns for each in made] == [("d", "e")]
    assert ":2: not UTF-8: byte 0xff" in made.report.problems[0]


def test_a_header_without_the_columns_lists_what_there_is(reader: Any) -> None:
    for format, name in ((None, "x.csv"), ("csv", "x")):
        made = reader("question,answer\na,b\n", name=name, format=format)
        with pytest.raises(
            ConversationFileError, match=r":1: the columns are 'question', 'answer'; .*context and resp"
        ):
            list(made)


def test_a_header_alone_is_nothing_usable(reader: Any) -> None:
    with pytest.raises(ConversationFileError, match="no conversations in it"):
        list(reader("context,response\n"))


@pytest.mark.parametrize("dialect", ["excel", "excel-tab", "unix"])
def test_what_the_csv_module_writes_comes_back(reader: Any, dialect: str) -> None:
    rng = random.Random(2)
    alphabet = ["a", "é", "日", " ", "\n", "\t", ",", '"', "'", "\0"]
    rows = [["x" + "".join(rng.choices(alphabet, k=rng.randrange(8))) for _ in range(2)] for _ in range(200)]
    out = io.StringIO(newline="")
    csv.writer(out, dialect=dialect).writerows([["context", "response"], *rows])
    assert [list(each.turns) for each in reader(out.getvalue())] == rows
