"""Samples that a model generates after each validation."""

import json
from typing import Any

from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel
from tests.training.conftest import Workshop


def samples(workshop: Workshop) -> list[dict[str, Any]]:
    text = (workshop.folder / "run" / "generated.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_samples_are_drawn_as_the_options_say_and_alike_after_each_validation(workshop: Workshop) -> None:
    workshop.train(
        trainer__max_epochs=2,
        model__learning_rate=0,
        samples__contexts=[["Hello"], ["Hello"]],
        samples__options={"do_sample": True, "temperature": 2.0},
        samples__max_new_tokens=12,
    )
    found = samples(workshop)
    assert [one["epoch"] for one in found] == [0, 0, 1, 1]
    assert all(one["context"] == ["Hello"] and one["persona"] == [] for one in found)
    assert found[0]["options"] == {"do_sample": True, "max_new_tokens": 12, "temperature": 2.0}
    replies = [one["replies"] for one in found]
    assert replies[:2] == replies[2:] and replies[0] != replies[1]


def test_samples_tell_what_the_exported_model_would_reply(workshop: Workshop) -> None:
    workshop.train(samples__count=2)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model", dtype="float32")
    found = samples(workshop)
    first = [one.persona for one in read_conversations(workshop.folder / "valid.jsonl")][:2]
    assert [one["persona"] for one in found] == [list(persona) for persona in first]
    for one in found:
        again = model.generate(one["context"], persona=one["persona"], **one["options"])
        assert again.responses == one["replies"]
