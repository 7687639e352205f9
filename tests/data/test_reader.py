"""Reading a source: problems that stop or are skipped, reports, line numbers and fingerprints."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from convmodel.data.conversation import ConversationFileError, ConversationReader, ReadOptions, read_conversations

LINE = '["a", "b"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text(LINE * 2 + "[]\n" + LINE + "[1]\n")
    return path


def test_stop_raises_at_the_first_problem_and_says_where(file: Path) -> None:
    reader = ConversationReader(file)
    read = []
    with pytest.raises(ConversationFileError) as caught:
        for conversation in reader:
            read.append(conversation)
    assert len(read) == reader.report.conversations == 2
    assert str(caught.value) == f"{file}:3: there are no turns; give at least one, or read with on_error='skip'"


def test_skip_counts_and_reads_on_and_each_iteration_starts_anew(file: Path) -> None:
    reader = ConversationReader(str(file), on_error="skip")
    assert reader.report.conversations == 0
    for _ in range(2):
        assert len(list(reader)) == 3
        assert (reader.report.conversations, reader.report.skipped) == (3, 2)
    assert reader.report.summary() == (
        f"{file}: JSON Lines, 3 conversations; 2 lines skipped: first {file}:3: there are no turns; give at least one"
    )


def test_the_summary_of_a_clean_file_is_short(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(LINE * 2400)
    reader = ConversationReader(path)
    for _ in reader:
        pass
    assert reader.report.summary() == f"{path}: JSON Lines, 2,400 conversations"


def test_every_conversation_can_be_had_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('context,response\n"a\nb",c\nonly\n\nd,e\n')
    reader = ConversationReader(path, on_error="skip")
    assert [(line, conversation.turns) for line, conversation in reader.with_line_numbers()] == [
        (2, ("a\nb", "c")),
        (6, ("d", "e")),
    ]
    assert (reader.report.conversations, reader.report.skipped) == (2, 1)
    assert reader.report.problems[0].startswith(f"{reader.location(4)}: ")
    assert list(reader) == [conversation for _, conversation in reader.with_line_numbers()]
    assert ConversationReader("hub://org/name?column=x").location(7) == "hub://org/name?column=x:row 7"


def test_only_the_first_ten_problems_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("[]\n" * 25 + LINE)
    reader = ConversationReader(path, on_error="skip")
    assert len(list(reader)) == 1
    assert reader.report.skipped == 25
    assert len(reader.report.problems) == 10


def test_two_iterations_at_once_do_not_disturb_each_other(file: Path) -> None:
    reader = ConversationReader(file, on_error="skip")
    assert [a == b for a, b in zip(reader, reader, strict=True)] == [True] * 3
    assert reader.report.conversations == 3


def test_a_file_of_which_nothing_can_be_used_is_an_error_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("[]\n[1, 2]\n")
    reader = ConversationReader(path, on_error="skip")
    with pytest.raises(ConversationFileError, match=r"no conversation could be used, 2 lines skipped; first .*:1: the"):
        list(reader)
    assert reader.report.skipped == 2


def test_a_missing_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no.jsonl: there is no such file in {tmp_path}; check the path"):
        ConversationReader("no.jsonl")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        ConversationReader("no.jsonl", format="jsonl")


def test_a_folder_in_place_of_a_file_is_told_with_what_is_in_it(file: Path) -> None:
    file.rename(file.parent / "train")
    with pytest.raises(IsADirectoryError, match=r"is a folder \(train\); give one file"):
        ConversationReader(file.parent)


def test_a_pipe_is_refused_because_it_cannot_be_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        ConversationReader(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"on_error": "ignore"}, "on_error='ignore': allowed are 'stop' and 'skip'"),
        (
            {"format": "xml"},
            "format='xml': allowed are parlai, fbdialog, ubuntu, csv, tsv, jsonl, json",
        ),
        ({"max_line_bytes": 0}, "max_line_bytes=0: give the longest"),
    ],
)
def test_an_unknown_option_is_told_at_once(file: Path, options: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        ConversationReader(file, **options)
    with pytest.raises(ValueError, match=wanted):
        read_conversations(file, **options)


def test_a_reader_can_be_sent_to_another_process(file: Path) -> None:
    reader = pickle.loads(pickle.dumps(ConversationReader(file, on_error="skip")))
    assert len(list(reader)) == 3


def test_leaving_in_the_middle_closes_the_file(file: Path) -> None:
    # An unclosed file would warn, and warnings are errors.
    assert next(read_conversations(file)).turns == ("a", "b")


def test_the_fingerprint_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for name, content in {"a": b'["a", "b"]', "b": b'["a", "b"]', "c": b'["a", "c"]'}.items():
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    a, b, c = (ConversationReader(tmp_path / f"{name}.jsonl").fingerprint() for name in "abc")
    assert a == b != c


def test_a_folder_a_glob_and_a_list_are_read_in_order_with_each_file_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.jsonl").write_text(LINE)
    (tmp_path / "sub" / "c.csv").write_text("context,response\nc,d\n,x\n")
    (tmp_path / "notes.md").write_text("not read")
    (tmp_path / ".hidden.jsonl").write_text("not read")
    reader = ConversationReader(tmp_path, on_error="skip")
    assert [each.turns for each in reader] == [("a", "b"), ("c", "d")]
    assert reader.report.problems[0].startswith(f"{tmp_path}/sub/c.csv:3: turn 1 is empty")
    assert [each.turns for each in ConversationReader(f"{tmp_path}/**/*.csv", on_error="skip")] == [("c", "d")]
    several = ConversationReader([tmp_path / "b.jsonl", str(tmp_path / "b.jsonl")])
    assert len(list(several)) == 2 and several.source == f"{tmp_path}/b.jsonl, {tmp_path}/b.jsonl"
    with pytest.raises(FileNotFoundError, match="no file matches this pattern"):
        ConversationReader(f"{tmp_path}/*.tsv")
    with pytest.raises(ValueError, match="no file is given"):
        ConversationReader([])


def test_the_fingerprint_changes_with_what_is_read_from_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("context,response,other\na,b,c\n")
    plain = ConversationReader(path).fingerprint()
    assert plain == ConversationReader(path, on_error="skip").fingerprint()
    assert plain != ConversationReader(path, columns="context=other,response=response").fingerprint()
    assert plain != ConversationReader([path, path]).fingerprint()


def test_options_may_be_given_as_one_object_and_keywords_have_precedence(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("[]\n" + LINE)
    options = ReadOptions(format="jsonl", on_error="skip")
    assert len(list(ConversationReader(path, options))) == 1
    with pytest.raises(ConversationFileError):
        list(ConversationReader(path, options, on_error="stop"))


def test_each_line_number_tells_its_file_in_a_source_of_several(tmp_path: Path) -> None:
    for name, text in (("a.jsonl", LINE), ("b.jsonl", "[]\n" + LINE), ("c.csv", "context,response\nd,e\n")):
        (tmp_path / name).write_text(text)
    for source in (tmp_path, tmp_path / "*", [tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.csv")]):
        reader = ConversationReader(source, on_error="skip")
        for _ in range(2):
            places = [reader.location(line) for line, _ in reader.with_line_numbers()]
            assert places == [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/b.jsonl:2", f"{tmp_path}/c.csv:2"]
        assert reader.report.problems == [f"{tmp_path}/b.jsonl:1: there are no turns; give at least one"]


def test_each_line_number_tells_its_file_in_a_chat_export_of_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("01/05/2024, 10:00 - Ida: Hello\n01/05/2024, 10:01 - Bo: Hi\n")
    (tmp_path / "b.txt").write_text("\n13/05/2024, 10:00 - Bo: Hello\n13/05/2024, 10:01 - Ida: Hi\n")
    reader = ConversationReader(tmp_path, me="Ida")
    assert [reader.location(line) for line, _ in reader.with_line_numbers()] == [f"{tmp_path}/b.txt:2"]
