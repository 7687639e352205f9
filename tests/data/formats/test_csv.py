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
    with pytest.raises(ConversationFileError, match=r":2: the row is longer than max_line_bytes=1,000; close"):
        list(reader('context,response\n"c,d\n' + "e,f\n" * 40_000, max_line_bytes=1000))


def test_bad_bytes_inside_quotes_cost_only_their_row(reader: Any) -> None:
    made = reader(b'context,response\n"a\n\xff\nb",c\nd,e\n', on_error="skip")
    assert [each.turns for each in made] == [("d", "e")]
    assert ":2: not UTF-8: byte 0xff" in made.report.problems[0]


def test_a_header_without_the_columns_lists_what_there_is(reader: Any) -> None:
    for format, name in ((None, "x.csv"), ("csv", "x")):
        made = reader("one,two\na,b\n", name=name, format=format)
        with pytest.raises(ConversationFileError, match=r":1: the columns are 'one', 'two'; .*context and response"):
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


def test_a_stray_quote_costs_one_row_wherever_it_stands(reader: Any) -> None:
    rows = [f"Question {number}?\tAnswer {number}.\n" for number in range(500)]
    for stray in ('"Stop\tNo more\n', 'a\t"b\n', '"a" b\tc\n'):
        for end in ("", 'He said "hi"\tyes\n', 'He said "\tyes\n'):
            made = reader("context\tresponse\n" + "".join([*rows[:5], stray, *rows[5:], end]), on_error="skip")
            assert len(list(made)) == 500 + bool(end), (stray, end)
            assert made.report.skipped == 1 and ":7: not a row: " in made.report.problems[0]


def test_many_lines_in_quotes_are_one_row(reader: Any) -> None:
    poem = "\n".join(["Roses are red, violets are blue, sugar is sweet", "", "one, two"] * 10)
    assert [each.turns for each in reader(f'context,response\n"{poem}",b\n')] == [(poem, "b")]


def test_the_limit_of_the_csv_module_is_not_ours(reader: Any) -> None:
    before = csv.field_size_limit(100)
    try:
        assert [len(each.turns[0]) for each in reader(f'context,response\n"{"word " * 60_000}",b\n')] == [300_000]
        assert csv.field_size_limit() == 100
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("header", ["context,response,Context", "context,response,x, X", "Context;response; context"])
def test_two_columns_of_one_name_are_told(reader: Any, header: str) -> None:
    with pytest.raises(ConversationFileError, match=r":1: two columns have one name, '.*', '.*'; rename"):
        list(reader(header + "\na,b,c,d\n", format="csv"))


def test_rows_of_empty_cells_are_blank_lines(reader: Any) -> None:
    made = reader('context,response\r\na,b\r\n,\r\n"",""\r\n , \r\nc,d,,\r\n,,,,\r\n')
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("context;response\na, b;c\n", " (separated by semicolons)"),
        ("sep=;\r\ncontext;response\r\na, b;c\r\n", " (separated by semicolons)"),
        ("context|response\na, b|c\n", " (separated by bars)"),
        ("Frage;question;answer\nx;a, b;c\n", " (separated by semicolons, question and answer)"),
    ],
)
def test_the_dialect_is_recognised_and_told(reader: Any, content: str, told: str) -> None:
    made = reader(content)
    assert [each.turns for each in made] == [("a, b", "c")]
    assert f": CSV{told}, 1 conversation" in made.report.summary()


def test_columns_can_be_named(reader: Any) -> None:
    content = "Frage,Antwort,Ich,context\na,b,I am Ann.,d\n"
    made = reader(content, columns="context=frage, response=Antwort,persona=Ich")
    assert list(made) == [Conversation(["a", "b"], ["I am Ann."], {"context": "d"})]
    with pytest.raises(ConversationFileError, match=r":1: columns=\.\.\. names 'x', which .*; there are 'Frage'"):
        list(reader(content, columns="context=x,response=Antwort", format="csv"))


def test_rows_of_one_utterance_are_grouped(reader: Any) -> None:
    content = (
        "conversation_id,speaker,text,topic\n1,a,Hi,x\n1,b,Hello,x\n1,b,How are you?,x\n2,a,Bye,y\n2,b,See you,z\n"
    )
    assert list(reader(content)) == [
        Conversation(["Hi", "Hello\nHow are you?"], meta={"conversation_id": "1", "topic": "x"}),
        Conversation(["Bye", "See you"], meta={"conversation_id": "2"}),
    ]
