"""Samples that a model generates after each validation."""

import json
from typing import Any

import pytest

from convmodel.data.conversation import read_conversations
from convmodel.models.conversation_model import ConversationModel
from tests.training.conftest import Workshop


def samples(workshop: Workshop) -> list[dict[str, Any]]:
    text = (workshop.folder / "run" / "generated.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_samples_use_the_options_and_the_same_seeds_at_each_validation(workshop: Workshop) -> None:
    workshop.train(
        trainer__max_epochs=2,
        model__learning_rate=0,
        samples__contexts=[["Hello"], ["Hello"]],
        samples__options={"do_sample": True, "temperature": 2.0},
        samples__max_new_tokens=12,
    )
    lines = samples(workshop)
    assert [line["epoch"] for line in lines] == [0, 0, 1, 1]
    assert all(line["context"] == ["Hello"] and line["persona"] == [] for line in lines)
    assert lines[0]["options"] == {"do_sample": True, "max_new_tokens": 12, "temperature": 2.0}
    replies = [line["replies"] for line in lines]
    assert replies[:2] == replies[2:] and replies[0] != replies[1]


def test_samples_are_the_replies_of_the_exported_model(workshop: Workshop) -> None:
    workshop.train(samples__count=2)
    model = ConversationModel.from_pretrained(workshop.folder / "run" / "model", dtype="float32")
    lines = samples(workshop)
    personas = [conversation.persona for conversation in read_conversations(workshop.folder / "valid.jsonl")][:2]
    assert [line["persona"] for line in lines] == [list(persona) for persona in personas]
    for line in lines:
        output = model.generate(line["context"], persona=line["persona"], **line["options"])
        assert output.responses == line["replies"]
