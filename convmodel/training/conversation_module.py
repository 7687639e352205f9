"""LightningModule that trains a language model to write replies."""

from collections.abc import Mapping, Sequence
from typing import Any

from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_layout import TrainOn
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.language_module import LanguageModule
from convmodel.training.samples import Sample, SampleRequest

ReplyInput = tuple[Sequence[str], Sequence[str]]
"""A context, and the persona of the replying side."""


class ConversationModule(LanguageModule[ConversationModel]):
    """Trains a language model to write the next turn.

    Args:
        pretrained_model_name_or_path: Hub name (gpt2) or folder of the model to fine-tune; `from_scratch` is then
            ignored.
        train_on: Turns to predict: "all", "last", or those of one speaker: "last_speaker" (the speaker of the last
            turn, whom a persona describes), "first_speaker", "second_speaker".
        options: See `LanguageModule`.
    """

    model_class = ConversationModel

    def __init__(
        self, pretrained_model_name_or_path: str | None = None, train_on: TrainOn = "all", **options: Any
    ) -> None:
        super().__init__(pretrained_model_name_or_path, **options)
        self._train_on: TrainOn = train_on

    @property
    def inputs(self) -> ModelInputs:
        return ModelInputs(
            "ConversationDataModule", self.n_positions, self._train_on, default_length=self.default_length
        )

    def sample_inputs(self, request: SampleRequest) -> list[ReplyInput]:
        """Return contexts with personas."""
        if request.contexts is not None:
            return [(context, ()) for context in request.contexts]
        return [(c.turns[: max(1, min(3, len(c.turns) - 1))], c.persona) for c in request.examples]

    def write_samples(
        self, inputs: Sequence[ReplyInput], *, seeds: Sequence[int], options: Mapping[str, Any]
    ) -> list[Sample]:
        """Generate a reply for each input."""
        contexts = [list(context) for context, _ in inputs]
        personas = [list(persona) for _, persona in inputs]
        outputs = self.language_model().generate_batch(contexts, personas=personas, seeds=seeds, **options)
        return [
            Sample(output.context, output.responses[0], {"context": c, "persona": p, "replies": output.responses})
            for c, p, output in zip(contexts, personas, outputs, strict=True)
        ]
