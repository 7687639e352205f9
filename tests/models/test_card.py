"""Model cards."""

from pathlib import Path

import pytest
import yaml

from convmodel.models.card import ModelCard
from convmodel.models.conversation_model import ConversationModel

pytestmark = pytest.mark.machine


def test_the_card_is_a_hub_card_with_the_numbers_that_were_given(model: ConversationModel, tmp_path: Path) -> None:
    card = ModelCard(
        base_model="gpt2",
        data=["train: 12 conversations"],
        numbers={"validation loss": 1.23456, "steps": 1200},
        training={"learning_rate": 0.001},
        samples=[(["Hello", "Hi"], "How are you?")],
    )
    model.save_pretrained(tmp_path / "model", card=card)
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---")[1])
    assert header["base_model"] == "gpt2" and header["library_name"] == "convmodel"
    assert header["pipeline_tag"] == "text-generation" and "conversational" in header["tags"]
    for line in ("| validation loss | 1.2346 |", "| steps | 1,200 |", "| `learning_rate` | `0.001` |"):
        assert line in text
    assert "- train: 12 conversations" in text and "> **How are you?**" in text
    assert f"{model.hf_model.num_parameters():,} parameters" in text
