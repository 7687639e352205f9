"""Rows of one utterance each in tables: names of columns, and EmpatheticDialogues."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import Conversation, ConversationFileError


@pytest.mark.parametrize(
    "header",
    [
        *("conversation_id,speaker,text", "Dialogue_ID,Speaker,Utterance", "Conversation ID,Speaker Name,Message Text"),
        *("convId,author,body", "session-id,role,content", "dialog_id,user,transcript", "dialogue,speaker,text"),
        *("conversation,participant,utterance", "episode,character,line"),
    ],
)
def test_known_names_make_rows_utterances(reader: Any, header: str) -> None:
    made = reader(f"{header}\n1,x,a\n1,x,b\n1,y,c\n2,y,d\n2,x,e\n")
    assert [each.turns for each in made] == [("a\nb", "c"), ("d", "e")]
    assert made.report.notes.recognised == ["one utterance a row"]


def test_speakers_and_texts_alone_are_one_conversation(reader: Any) -> None:
    assert list(reader("speaker,text\nx,a\ny,b\n")) == [Conversation(["a", "b"])]
    with pytest.raises(ConversationFileError, match="or id=NAME,speaker=NAME,text=NAME"):
        list(reader("n,speaker,text\n1,x,a\n2,y,b\n", name="x.csv"))
    made = reader("n,speaker,text\n1,x,a\n1,y,b\n", columns="id=n,speaker=speaker,text=text")
    assert list(made) == [Conversation(["a", "b"], meta={"n": "1"})]


def test_a_list_of_utterances_without_an_id_is_one_conversation(reader: Any) -> None:
    made = reader('[{"speaker": "x", "utterance": "a", "n": 1},\n{"speaker": "y", "utterance": "b", "n": 2}]')
    assert [each.turns for each in made] == [("a", "b")]


def test_a_list_of_several_conversations_is_told(reader: Any) -> None:
    content = json.dumps(
        [{"meeting_no": n // 2, "speaker": "xy"[n % 2], "text": "abcd"[n], "turn_id": n} for n in range(4)]
    )
    with pytest.raises(ConversationFileError, match=r"several conversations, one for each 'meeting_no'; read it with"):
        list(reader(content, name="x.json"))
    made = reader(content, columns="id=meeting_no,speaker=speaker,text=text")
    assert [each.turns for each in made] == [("a", "b"), ("c", "d")]


def test_the_commas_of_empathetic_dialogues_are_restored(reader: Any) -> None:
    made = reader(
        "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
        "hit:0_conv:1,1,sad,I lost_comma_ again,1,I went_comma_ home,5|5|5_2|2|5,\n"
        "hit:0_conv:1,2,sad,I lost_comma_ again,0,Oh no_comma_ really?,5|5|5_2|2|5,\n"
        "hit:0_conv:2,1,joyful,x,1,y,5|5|5_2|2|5,\n"
        "hit:0_conv:2,2,joyful,x,0,z_comma_z,5|5|5_2|2|5,\n"
    )
    first, second = made
    assert first.turns == ("I went, home", "Oh no, really?") and second.turns == ("y", "z,z")
    assert first.meta["prompt"] == "I lost, again" and first.meta["conv_id"] == "hit:0_conv:1"
    assert made.report.notes.recognised == ["EmpatheticDialogues"]


def test_a_conversation_that_goes_on_after_another_is_told(reader: Any) -> None:
    rows = "".join(f"{key},{name},{name}{key}\n" for key in (1, 2, 1) for name in "ab")
    made = reader("conversation_id,speaker,text\n" + rows, name="x.csv")
    assert [each.turns for each in made] == [("a1", "b1"), ("a2", "b2"), ("a1", "b1")]
    assert "were split: sort the rows by 'conversation_id'" in made.report.summary()
    made = reader("conversation_id,speaker,text\n" + rows[: len(rows) * 2 // 3], name="x.csv")
    assert len(list(made)) == 2 and "torn" not in made.report.summary()
