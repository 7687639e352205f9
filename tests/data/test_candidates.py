"""Files of candidates, in each form that they have."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from convmodel.data.candidates import (
    CandidateReader,
    CandidateText,
    distinct_candidates,
    questions_of,
    read_candidates,
)
from convmodel.data.formats.base import ConversationFileError
from convmodel.data.formats.candidates import WANTED


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plain_file_holds_one_text_a_line(tmp_path: Path) -> None:
    path = written(tmp_path / "c.txt", '"Hi," she said.\n\n  two words \r\n{smile}\n元気？')
    assert [each.text for each in read_candidates(path)] == ['"Hi," she said.', "  two words ", "{smile}", "元気？"]
    assert all(each.metadata is None for each in read_candidates(path))


@pytest.mark.parametrize("name", ["c.jsonl", "c.txt", "c.jsonl.gz"])
def test_json_lines_hold_texts_and_what_is_known_of_them(tmp_path: Path, name: str) -> None:
    lines = ['{"text": "one", "source": "a", "score": 2}', '"two\\nlines"', "", '{"text": "three"}']
    path = tmp_path / name
    raw = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert list(read_candidates(path)) == [
        CandidateText("one", {"source": "a", "score": 2}),
        CandidateText("two\nlines"),
        CandidateText("three"),
    ]


def test_each_turn_of_a_conversation_is_a_candidate_when_that_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", '["a", "b"]\n{"turns": ["c"], "persona": ["d"]}\n')
    assert [each.text for each in read_candidates(path, turns=True)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"one"\n["a", "b"]\n', ":2: the line is a conversation; to take each turn as a candidate, ask for turns"),
        ('"one"\n{"turns": ["a"]}\n', ":2: the line is a conversation"),
        ('"one"\n{"words": "a"}\n', ":2: the line is an object without text (its keys: 'words'); write a text in quo"),
        ('"one"\n5\n', ":2: the line is the number 5; write a text in quotes"),
        ('"one"\n"two\n', ":2: not JSON: unterminated string"),
        ('"one"\n\n{"text": "  "}\n', ":3: candidate 1 is only white space; remove it"),
        ('"one"\n{"text": null}\n', ":2: candidate 1 is null (None), not a string"),
        ('"one"\n"\\ud800"\n', ":2: candidate 1 holds a lone surrogate"),
        ('{"text": "a", "b": "\\ud800"}\n', ":1: 'utf-8' codec can't encode"),
        ("\n \n", ": there are no candidates in it; check that it is the right one"),
    ],
)
def test_what_cannot_be_used_is_told_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path / "c.jsonl", text)
    with pytest.raises(ConversationFileError) as error:
        list(read_candidates(path))
    assert str(error.value).startswith(f"{path}{told}")


def test_bytes_that_are_no_text_and_files_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"fine\nno\xff\n")
    with pytest.raises(ConversationFileError, match=r"c.txt:2: not UTF-8: byte 0xff at offset 7"):
        list(read_candidates(tmp_path / "c.txt"))
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        list(read_candidates(tmp_path / "missing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        list(read_candidates(tmp_path / "empty"))


def test_a_candidate_is_a_text() -> None:
    with pytest.raises(ValueError, match="candidate 1 is empty"):
        CandidateText("")
    assert json.dumps(CandidateText("a", {"b": [1]}).metadata) == '{"b": [1]}'


TABLE = 'id,text\n1,one\n2,"two, three"\n'
LIST = ["one", {"text": "two, three", "id": "2"}]


@pytest.mark.parametrize("name", ["c.json", "c.txt", "c.json.gz", "c.json.zip"])
def test_a_json_list_is_read_and_not_taken_for_lines(tmp_path: Path, name: str) -> None:
    content = json.dumps(LIST, indent=1).encode()
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("c.json", content)
    else:
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert list(read_candidates(path)) == [CandidateText("one"), CandidateText("two, three", {"id": "2"})]
    (tmp_path / "one.json").write_text(json.dumps(LIST))
    assert list(read_candidates(tmp_path / "one.json")) == list(read_candidates(path))
    assert list(CandidateReader([path, path], on_error="skip")) == 2 * list(read_candidates(path))


@pytest.mark.parametrize("text", ["[\n", "[\n'a',\n", '[{"text":\n', '{"text": "a"\n{"text": "b"\n'])
def test_brackets_of_broken_json_are_never_candidates(tmp_path: Path, text: str) -> None:
    for name in ("c.txt", "c.json", "c.jsonl"):
        with pytest.raises(ConversationFileError):
            list(read_candidates(written(tmp_path / name, text)))


def test_a_table_has_a_column_of_texts(tmp_path: Path) -> None:
    expected = [CandidateText("one", {"id": "1"}), CandidateText("two, three", {"id": "2"})]
    assert list(read_candidates(written(tmp_path / "c.csv", TABLE))) == expected
    assert list(read_candidates(written(tmp_path / "c.txt", TABLE))) == expected
    path = written(tmp_path / "d.csv", TABLE.replace("text", "Satz"))
    with pytest.raises(ConversationFileError, match=r"d.csv:1: no column is called text: there are 'id', 'Satz'"):
        list(read_candidates(path))
    assert list(read_candidates(path, columns="text=Satz")) == expected
    assert next(read_candidates(path, format="text")) == CandidateText("id,Satz")


def test_other_encodings_are_read_and_bad_lines_skipped(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes("Grüße\n".encode("cp1252"))
    assert list(read_candidates(tmp_path / "c.txt", encoding="cp1252")) == [CandidateText("Grüße")]
    reader = CandidateReader(written(tmp_path / "c.jsonl", '"one"\n5\n'), on_error="skip")
    assert list(reader) == [CandidateText("one")]
    assert reader.report.summary().startswith(f"{tmp_path}/c.jsonl: JSON Lines, 1 candidate; 1 line skipped: first ")


def test_candidates_without_options_of_readers_are_refused_without_naming_one(tmp_path: Path) -> None:
    path = written(tmp_path / "c.jsonl", '"one"\n5\n')
    with pytest.raises(ConversationFileError) as error:
        distinct_candidates(path)
    assert str(error.value) == f"{path}:2: the line is the number 5; {WANTED}"


def test_answers_have_their_questions_as_metadata(tmp_path: Path) -> None:
    text = "Q: When?\nA: At nine.\n\nquestion: Is there\n  food?\nQ: A café?\nA: Yes.\n Upstairs.\nQ: Unknown?\nA:\n"
    expected = [
        CandidateText("At nine.", {"question": "When?"}),
        CandidateText("Yes.\n Upstairs.", {"question": ["Is there food?", "A café?"]}),
    ]
    found = distinct_candidates(written(tmp_path / "c.txt", text))
    assert found == expected and [each.metadata for each in found] == [each.metadata for each in expected]
    assert [questions_of(each.metadata) for each in found] == [["When?"], ["Is there food?", "A café?"]]
    table = written(tmp_path / "c.tsv", "question\tanswer\nWhen?\tAt nine.\n")
    assert [each.metadata for each in distinct_candidates(table)] == [{"question": "When?"}]
    assert questions_of(None) == questions_of({"question": 3}) == []
    assert distinct_candidates(written(tmp_path / "d.txt", "Q: no answer\nnone"))[0].text == "Q: no answer"
