"""The layout for encoders: what is added to the texts, what it costs, and turns that are dropped."""

from pathlib import Path

import pytest

from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.encoder_layout import EncoderLayout, EncoderWords
from convmodel.tokens.layout_options import LayoutOptions, choose_for
from tests.models.encoder_decoders import KINDS, save_tokenizer

WORDS = EncoderWords(begin=(1,), end=(2,), between=(3, 3), sentence=(4,))


def layout() -> EncoderLayout:
    return EncoderLayout(WORDS, end_token_id=2, pad_token_id=0, joins_by_space=True)


def test_the_texts_stand_between_the_layouts_own_tokens() -> None:
    sequence = layout().lay_out([[10, 11], [12], [13, 14]], persona=[[20], [21, 22]], cut=1)
    assert sequence.input_ids == [1, 4, 20, 3, 3, 4, 21, 22, 3, 3, 10, 11, 3, 3, 12, 3, 3, 14, 2]
    assert sequence.metadata == 10 and sequence.token_type_ids == []
    assert [sequence.input_ids[start:stop] for start, stop in sequence.spans] == [[10, 11], [12], [14]]
    whole = layout().append_reply(sequence, [30, 31])
    assert whole.input_ids[len(sequence.input_ids) :] == [1, 30, 31, 2] == whole.labels[len(sequence.input_ids) :]


@pytest.mark.parametrize("persona", [[], [[20], [21, 22]]], ids=["plain", "persona"])
def test_a_context_takes_as_many_tokens_as_its_costs_say(persona: list[list[int]]) -> None:
    turns = [[10] * n for n in (3, 5, 2, 4)]
    kept = [len(layout().lay_out(turns[first:], persona=persona).input_ids) for first in range(4)]
    for room in range(kept[-1], kept[0] + 1):
        sequence, window = layout().lay_out_context(turns, persona=persona, max_length=room)
        assert window.first == min(first for first in range(4) if kept[first] <= room)
        assert len(sequence.input_ids) == kept[window.first] and window.cut == 0
    sequence, window = layout().lay_out_context(turns, persona=persona, max_length=kept[-1] - 1)
    assert (window.first, window.cut) == (3, 1) and len(sequence.input_ids) == kept[-1] - 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_tokenizer_has_the_words_of_its_model(kind: str, tmp_path: Path) -> None:
    save_tokenizer(tmp_path, kind)
    tokenizer = ConversationTokenizer.from_pretrained(tmp_path)
    tokenizer.choose_layout(layout="encoder")
    ids = tokenizer(["you", "you"], persona=["you"])["input_ids"]
    assert (
        tokenizer.hf_tokenizer.decode(ids)
        == {
            "t5": "you</s> you</s> you</s>",
            "bart": "<s>you</s>you</s>you</s>",
            "blenderbot": " your persona: you   you   you</s>",
            "blenderbot-small": "your persona: you __newln__ you __newln__ you",
        }[kind]
    )


def test_a_layout_is_for_its_models_alone() -> None:
    assert choose_for(True, "auto") == choose_for(True, "encoder") == "encoder"
    assert choose_for(False, "auto") == "auto" and choose_for(False, "separators") == "separators"
    with pytest.raises(ValueError, match="layout='chat_template': an encoder-decoder has the layout 'encoder'; leave"):
        choose_for(True, "chat_template")
    with pytest.raises(ValueError, match="layout='encoder': only encoder-decoders have it; leave it out"):
        choose_for(False, LayoutOptions(layout="encoder").layout)
