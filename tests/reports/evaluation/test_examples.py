"""Which turns are replied to, and what makes two sets of conversations the same."""

import pytest

from convmodel.data.conversation import Conversation
from convmodel.reports.evaluation.examples import (
    EvaluationOptions,
    ReplyExample,
    evenly_spaced,
    fingerprint,
    select_examples,
)

TALKS = [Conversation(("a", "b", "c"), ("I am c.",)), Conversation(("d", "e"))]


def test_the_last_turn_of_each_conversation_is_replied_to() -> None:
    assert select_examples(TALKS, turns="last", limit=0) == [
        ReplyExample(1, 3, ("I am c.",), ("a", "b"), "c"),
        ReplyExample(2, 2, (), ("d",), "e"),
    ]


def test_only_the_last_speaker_has_the_persona_and_first_turns_are_no_replies() -> None:
    examples = select_examples(TALKS, turns="all", limit=0)
    assert [(example.conversation, example.turn, example.persona) for example in examples] == [
        (1, 2, ()),
        (1, 3, ("I am c.",)),
        (2, 2, ()),
    ]
    with pytest.raises(ValueError, match="no turn to reply to with turns=first_speaker"):
        select_examples(TALKS[1:], turns="first_speaker", limit=0)


GROUP = Conversation(("a", "b", "c", "d", "e"), ("I am Tom.",), speakers=["Ida", "Tom", "Eve", "Ida", "Tom"])


def test_turns_of_a_group_are_those_of_sides_or_of_speakers() -> None:
    names = ("Ida", "Tom", "Eve", "Ida")
    last = ReplyExample(1, 4, ("I am Tom.",), ("a", "b", "c", "d"), "e", names, "Tom")
    assert select_examples([GROUP], turns="last", limit=0) == [last]
    second = ReplyExample(1, 2, ("I am Tom.",), ("a",), "b", names[:1], "Tom")
    others = ReplyExample(1, 3, (), ("Ida: a", "b"), "Eve: c\nIda: d")
    assert select_examples([GROUP], turns="all", limit=0) == [second, others, last]
    named = select_examples([GROUP], turns="all", limit=0, max_speakers=3)
    assert [(example.turn, example.speaker) for example in named] == [(2, "Tom"), (3, "Eve"), (4, "Ida"), (5, "Tom")]
    assert named[-1] == ReplyExample(1, 5, ("I am Tom.",), ("a", "b", "c", "d"), "e", names, "Tom")
    assert fingerprint([GROUP]) != fingerprint([Conversation(GROUP.turns, GROUP.persona)])


def test_a_limit_selects_evenly_spaced_indices() -> None:
    assert evenly_spaced(10, 5) == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 2) == [0, 1]
    assert evenly_spaced(3, 0) == evenly_spaced(3, 3) == evenly_spaced(3, 9) == [0, 1, 2]
    for count in range(1, 30):
        for limit in range(1, count):
            assert len(set(evenly_spaced(count, limit))) == limit and max(evenly_spaced(count, limit)) < count
    assert [example.conversation for example in select_examples(TALKS, turns="last", limit=1)] == [1]


def test_the_fingerprint_depends_on_turns_and_personas_alone() -> None:
    same = [Conversation(c.turns, c.persona, {"id": 7}) for c in TALKS]
    assert fingerprint(same) == fingerprint(TALKS)
    others = [TALKS[::-1], TALKS[:1], [Conversation(("a", "b", "c")), TALKS[1]], [Conversation(("a", "bc")), TALKS[1]]]
    assert len({fingerprint(talks) for talks in [TALKS, *others]}) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limit": -1}, "limit=-1; it must be at least 0"),
        ({"resamples": 0}, "resamples=0; it must be at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"confidence": 1.0}, "confidence=1.0; allowed are numbers between 0 and 1"),
        ({"turns": "odd"}, "allowed are all, last"),
    ],
)
def test_options_out_of_range_are_rejected(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationOptions(**values)  # type: ignore[arg-type]
