"""What the engine is asked for a context: all that was said, whatever fits the window."""

import random
from typing import Any

import pytest

from convmodel.models.conversation_inputs import prepare
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.text_generation import write
from convmodel.responders.protocol import Session
from tests.conftest import random_turns


@pytest.mark.parametrize("seed", range(10))
def test_repetition_sees_every_turn_and_what_the_one_who_replies_said(model: ConversationModel, seed: int) -> None:
    source = random.Random(seed)
    turns = random_turns(source, most=9)
    session, spoken = Session(), model.tokenizer.encode_many(turns)
    if seed % 2:  # a reply that was written in other tokens counts with those
        spoken[-1] = [5, 6, 7]
        session.ids[len(turns) - 1, turns[-1]] = (5, 6, 7)
    how = model.decoding(num_return_sequences=3, do_sample=True)
    prepared = prepare(model.tokenizer, turns, ["I like rain."], how, seed=1, session=session)
    said = [ids for number, ids in enumerate(spoken) if number % 2 == len(turns) % 2]
    for request in prepared.job.requests:
        assert request.history_ids == spoken
        assert sorted(map(list, request.own_turn_ids)) == sorted(said)
    assert len({request.seed for request in prepared.job.requests}) == 3


@pytest.mark.parametrize("size", [1, 2])
def test_no_reply_holds_an_ngram_of_a_turn_that_fell_out_of_the_window(model: ConversationModel, size: int) -> None:
    plain: dict[str, Any] = {"do_sample": False, "max_new_tokens": 12}
    turns = ["Hello"]
    reply = model.generate(turns, **plain).responses[0]
    long_ago = [reply, *["I play the guitar and the piano."] * 8, "Hello"]
    output = model.generate(long_ago, no_repeat_context_ngram_size=size, **plain)
    assert output.turns_dropped > 0
    how = model.decoding(no_repeat_context_ngram_size=size, **plain)
    [[written]] = write(model.hf_model, model.tokenizer, [prepare(model.tokenizer, long_ago, [], how).job])
    said = model.tokenizer.encode_many(long_ago)
    seen = {tuple(ids[i : i + size]) for ids in said for i in range(len(ids) - size + 1)}
    mine = [written.ids[i : i + size] for i in range(len(written.ids) - size + 1)]
    assert written.text == output.responses[0] and len(mine) > 3
    assert seen.isdisjoint(mine) and len(set(mine)) == len(mine)
