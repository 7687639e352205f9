"""DialoGPT's TSV: weights, separators of turns, and replies that are not to be learned."""

from typing import Any

import pytest


def test_turns_and_the_reply_are_read_without_their_weights(reader: Any) -> None:
    made = reader("0.0 hi EOS 1.0 hello there\t1.0 how are you\n1.0 a EOS b\t1.0 c\r\n", name="train.tsv")
    assert made.format == "dialogpt"
    assert [each.turns for each in made] == [("hi", "hello there", "how are you"), ("a", "b", "c")]


def test_replies_of_weight_zero_are_left_out_and_counted(reader: Any) -> None:
    made = reader("1.0 a\t0.0 bad\n1.0 a\t1.0 EOSIN\n1.0 a\t0.0 bad\n")
    assert [each.turns for each in made] == [("a", "EOSIN")]
    assert made.report.summary().endswith("1 conversation; 2 lines of weight 0 left out")


@pytest.mark.parametrize("line", ["1.0 a", "1.0 a\tb", "a"])
def test_a_line_of_another_form_is_told(reader: Any, line: str) -> None:
    made = reader(f"1.0 a\t1.0 b\n{line}\n", format="dialogpt", on_error="skip")
    assert len(list(made)) == 1
    assert ":2: the line does not consist of turns, a tab, a weight and a reply" in made.report.problems[0]
