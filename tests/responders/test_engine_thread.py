"""Writers of several adapters in one engine against a writer of each merged model."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")

from convmodel.models.adapter_folder import load_adapter, open_adapter
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.source import open_source
from convmodel.responders.protocol import Session
from convmodel.responders.writer import Writer
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from tests.conftest import TEXTS
from tests.models.adapters import save_adapter, save_base

pytestmark = pytest.mark.filterwarnings("ignore")  # peft uses what transformers will remove

GREEDY: dict[str, Any] = {"do_sample": False, "max_new_tokens": 6}
NAMES = ("formal", "casual")


@pytest.fixture(params=["llama", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: ConversationTokenizer) -> Path:
    base = save_base(tmp_path / "base", tokenizer, kind=request.param)
    for seed, name in enumerate(NAMES):
        save_adapter(tmp_path / name, base, seed=seed)
    return base


@pytest.fixture
def merged(base: Path, tmp_path: Path) -> dict[str, ConversationModel]:
    folders = {"base": base, **{name: tmp_path / name for name in NAMES}}
    return {name: ConversationModel.from_pretrained(folder) for name, folder in folders.items()}


@pytest.fixture
def writers(base: Path, tmp_path: Path) -> Iterator[dict[str, Writer]]:
    model, source = ConversationModel.from_pretrained(base), open_source(base)
    adapters = {name: load_adapter(model, open_adapter(str(tmp_path / name), source)) for name in NAMES}
    with Writer(model, max_running=3, adapters=adapters) as writer:
        yield {"base": writer, **writer.adapted}


def test_replies_are_those_of_each_merged_model(
    writers: dict[str, Writer], merged: dict[str, ConversationModel]
) -> None:
    source = random.Random(0)
    chosen = [(source.choice([*writers]), source.sample(TEXTS, source.randint(1, 3))) for _ in range(24)]
    handles = [writers[name].start(context, options=GREEDY) for name, context in chosen]
    for handle in source.sample(handles, 4):
        handle.cancel()
    for (name, context), handle in zip(chosen, handles, strict=True):
        reply = handle.result()
        expected = merged[name].generate(context, **GREEDY).responses[0]
        if reply.finish == "cancelled":
            expected = expected[: len(reply.text.rstrip("\ufffd"))]
        assert reply.text.rstrip("\ufffd") == expected.rstrip("\ufffd")
    assert writers["base"].load == writers["formal"].load


def test_several_replies_are_ranked_by_their_own_model(
    writers: dict[str, Writer], merged: dict[str, ConversationModel]
) -> None:
    options = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 6}
    for name, writer in writers.items():
        with Writer(merged[name]) as alone:
            ours, theirs = (each.start(TEXTS[:1], options=options, seed=3).result() for each in (writer, alone))
        assert [candidate.text for candidate in ours.candidates] == [each.text for each in theirs.candidates]
        assert [each.score for each in ours.candidates] == pytest.approx([c.score for c in theirs.candidates], abs=1e-4)


def test_beams_are_searched_with_the_adapter(writers: dict[str, Writer], merged: dict[str, ConversationModel]) -> None:
    options = GREEDY | {"num_beams": 2}
    for name, writer in writers.items():
        expected = merged[name].generate(TEXTS[:2], **options).responses[0]
        assert writer.start(TEXTS[:2], options=options).result().text == expected


def test_conversations_of_a_session_stay_in_the_cache_of_their_adapter(writers: dict[str, Writer]) -> None:
    sessions, contexts = {name: Session() for name in writers}, {name: ["Hello"] for name in writers}
    for turn in range(3):
        for name, writer in writers.items():
            reply = writer.start(
                contexts[name], options=GREEDY | {"min_new_tokens": 3}, session=sessions[name]
            ).result()
            assert (reply.cached_tokens > 0) == (turn > 0)
            contexts[name] += [reply.text, "And you?"]


def test_closing_one_closes_all(writers: dict[str, Writer]) -> None:
    writers["formal"].close()
    with pytest.raises(RuntimeError, match="the writer is closed"):
        writers["base"].start(["Hello"])
