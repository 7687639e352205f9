"""Fingerprints of generative models."""

from pathlib import Path

from convmodel.models.conversation_model import ConversationModel
from convmodel.reports.evaluation.model_facts import model_fingerprint
from tests.reports.evaluation.helpers import small_model


def test_a_fingerprint_depends_on_weights_heads_and_vocabulary(folder: Path) -> None:
    model = ConversationModel.from_pretrained(folder / "model", "cpu", "float32")
    assert model_fingerprint(model) == model_fingerprint(small_model())
    others = [small_model(seed=1), small_model(vocab_size=259), small_model()]
    others[2].hf_model.config.n_head = 4
    assert len({model_fingerprint(other) for other in [model, *others]}) == 4
