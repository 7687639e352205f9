"""The CSV files of Ubuntu V2, as selection examples and as conversations."""

from pathlib import Path

from convmodel.data.conversation import read_conversations
from convmodel.data.selection_example import SelectionExample
from tests.data.conftest import UBUNTU_TEST, MakeChoices

UBUNTU_TRAIN = "Context,Utterance,Label\na __eou__ __eot__,b __eou__ __eot__,1\na __eot__,c,0\nd,e,1.0\n"


def test_the_marks_of_ubuntu_part_turns_and_utterances(choices: MakeChoices) -> None:
    reader = choices(UBUNTU_TEST)
    assert list(reader) == [SelectionExample(("a , b\nc", "d"), ("h", 'i "j"', "e , f\ng"), 2)]
    assert reader.report.summary().endswith("Ubuntu V2 CSV, 1 example of 3 candidates")


def test_ubuntu_train_gives_what_is_labelled_1(choices: MakeChoices) -> None:
    assert list(choices(UBUNTU_TRAIN)) == [SelectionExample(("a",), ("b",), 0), SelectionExample(("d",), ("e",), 0)]


def test_ubuntu_files_are_conversations_too(tmp_path: Path) -> None:
    for name, content in {"test": UBUNTU_TEST, "train": UBUNTU_TRAIN}.items():
        (tmp_path / name).write_text(content)
    assert [each.turns for each in read_conversations(tmp_path / "test")] == [("a , b\nc", "d", "e , f\ng")]
    assert [each.turns for each in read_conversations(tmp_path / "train")] == [("a", "b"), ("d", "e")]


def test_a_stray_quote_costs_one_row(choices: MakeChoices) -> None:
    rows = "".join(f"a __eot__,b{number},1\n" for number in range(20))
    reader = choices(f'Context,Utterance,Label\n"stray __eot__,b,1\n{rows}', on_error="skip")
    assert len(list(reader)) == 20
    assert reader.report.skipped == 1 and ":2: not a row: " in reader.report.problems[0]
