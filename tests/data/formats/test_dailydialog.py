"""DailyDialog: a conversation per line, with the mark of the end of a turn."""

from typing import Any


def test_each_line_is_a_conversation(reader: Any) -> None:
    made = reader("Is this seat free ? __eou__ Yes . __eou__ Thanks . __eou__\n\nOh ! __eou__ Tell me .\n")
    assert made.format == "dailydialog"
    assert [each.turns for each in made] == [("Is this seat free ?", "Yes .", "Thanks ."), ("Oh !", "Tell me .")]


def test_a_line_without_the_mark_is_told(reader: Any) -> None:
    made = reader("a __eou__ b __eou__\nno mark\nc __eou__ d __eou__\n", format="dailydialog", on_error="skip")
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]
    assert ":2: there is no __eou__; write it after each turn" in made.report.problems[0]


def test_ubuntu_files_have_both_marks_and_a_header(reader: Any) -> None:
    assert reader("Context,Utterance,Label\na __eou__ __eot__ b __eou__ __eot__,c __eou__,1\n").format == "ubuntu"
