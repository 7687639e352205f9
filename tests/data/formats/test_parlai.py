"""ParlAI's dialogue text, against the format that `msg_to_str` and `ParlAIDialogTeacher` describe."""

import random
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError


def test_an_episode_is_a_conversation(reader: Any) -> None:
    made = reader(
        "text:Hello\tlabels:Hi there\n"
        "text:How are you?\tlabels:Well.\tepisode_done:True\n"
        "\n"
        "text:Bye\tlabels:See you\tepisode_done:True\n"
    )
    assert made.format == "parlai"
    assert [each.turns for each in made] == [
        ("Hello", "Hi there", "How are you?", "Well."),
        ("Bye", "See you"),
    ]


def test_an_episode_cut_off_at_the_end_is_an_episode(reader: Any) -> None:
    assert [each.turns for each in reader("text:a\tlabels:b\ntext:c\tlabels:d")] == [("a", "b", "c", "d")]


def test_episode_done_false_means_what_it_says(reader: Any) -> None:
    made = reader("text:a\tlabels:b\tepisode_done:False\ntext:c\tlabels:d\tepisode_done:True\n")
    assert [len(each.turns) for each in made] == [4]


def test_of_several_labels_the_first_is_taken(reader: Any) -> None:
    (conversation,) = reader("text:a\tlabels:b|c|d\tepisode_done:True")
    assert conversation.turns == ("a", "b")


def test_escapes_are_undone(reader: Any) -> None:
    (conversation,) = reader("text:a\\nb__PIPE__c\tlabels:d\\te__PIPE__f|g\tepisode_done:True")
    assert conversation.turns == ("a\nb|c", "d\te|f")


def test_persona_lines_leave_the_text(reader: Any) -> None:
    (conversation,) = reader(
        "text:your persona: I fly.\\npartner's persona: I swim.\\nyour persona: I sing.\\nHello\\nyou\tlabels:Hi\n"
    )
    assert conversation == Conversation(["Hello\nyou", "Hi"], ["I fly.", "I sing."], {"partner_persona": ["I swim."]})


def test_after_silence_the_response_begins_and_later_goes_on(reader: Any) -> None:
    (conversation,) = reader(
        "text:__SILENCE__\tlabels:Hello\ntext:Hi\tlabels:So?\ntext:__SILENCE__\tlabels:Are you there?\n"
    )
    assert conversation.turns == ("Hello", "Hi", "So?\nAre you there?")


def test_candidates_of_the_last_response_and_other_fields_become_meta(reader: Any) -> None:
    (conversation,) = reader(
        "id:x\ttext:a\tlabels:b\tlabel_candidates:b|c\ttopic:fish\tlabel:odd\n"
        "id:y\ttext:d\tlabels:e\tlabel_candidates:e|f__PIPE__\tepisode_done:True\n"
    )
    assert conversation.meta == {"id": "y", "topic": "fish", "label": "odd", "candidates": ["e", "f|"]}


def test_candidates_of_an_earlier_response_are_not_taken_for_the_last(reader: Any) -> None:
    (conversation,) = reader("text:a\tlabels:b\tlabel_candidates:b|c\ntext:d\tlabels:e\n")
    assert conversation.meta is None


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("text:a", "there is no labels"),
        ("labels:a", "there is no text"),
        ("text:a\tb\tlabels:c", "'b' is not a field"),
        ("text:\tlabels:c", "text is empty"),
        ("text:a\tlabels: ", "labels is empty"),
    ],
)
def test_a_bad_line_drops_its_whole_episode_and_no_other(reader: Any, line: str, wanted: str) -> None:
    content = (
        "text:1\tlabels:2\tepisode_done:True\n"
        f"text:3\tlabels:4\n{line}\ntext:5\tlabels:6\ntext:\tlabels:\tepisode_done:True\n"
        "text:7\tlabels:8\tepisode_done:True\n"
        f"{line}\tepisode_done:True\n"
        "text:9\tlabels:10\n"
    )
    made = reader(content, on_error="skip")
    assert [each.turns for each in made] == [("1", "2"), ("7", "8"), ("9", "10")]
    assert made.report.skipped == 2
    assert f":3: {wanted}" in made.report.problems[0] and f":7: {wanted}" in made.report.problems[1]
    with pytest.raises(ConversationFileError, match=f":3: {wanted}.*on_error='skip'"):
        list(reader(content))


def test_a_broken_last_line_of_an_episode_still_ends_it(reader: Any) -> None:
    bad = b"text:\xff\tlabels:b\tepisode_done:True\n"
    long = b"text:" + b"x" * 500 + b"\tlabels:b\tepisode_done:True\n"
    good = b"text:c\tlabels:d\tepisode_done:True\n"
    made = reader(bad + good + long + good, on_error="skip", max_line_bytes=200)
    assert [each.turns for each in made] == [("c", "d")] * 2


def test_what_parlai_would_write_comes_back(reader: Any) -> None:
    rng = random.Random(1)
    alphabet = ["a", "é", "日", "😀", " ", "\n", "\t", "|", ":", '"']

    def turn() -> str:
        return "x" + "".join(rng.choices(alphabet, k=rng.randrange(8))) + "x"

    episodes = [[turn() for _ in range(2 * rng.randrange(1, 5))] for _ in range(100)]
    lines = []
    for episode in episodes:
        for i in range(0, len(episode), 2):
            text, label = (
                each.replace("\t", "\\t").replace("\n", "\\n").replace("|", "__PIPE__") for each in episode[i : i + 2]
            )
            done = "\tepisode_done:True" if i + 2 == len(episode) else ""
            lines.append(f"text:{text}\tlabels:{label}{done}\n")
    assert [list(each.turns) for each in reader("".join(lines))] == episodes
