"""Batches of conversations in, a trained GPT-2 out: the LightningModule of models that write replies."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Literal

from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_layout import TrainOn
from convmodel.training.datamodules.conversation import ConversationDataModule
from convmodel.training.language_module import LanguageModule
from convmodel.training.perplexity import CorpusStats
from convmodel.training.samples import Sample, SampleRequest

Question = tuple[Sequence[str], Sequence[str]]
"""A context, and a persona to reply as."""


class ConversationModule(LanguageModule[ConversationModel]):
    """Trains a GPT-2 to write the next turn.

    Args:
        pretrained_model_name_or_path: A Hub name (gpt2) or a folder to fine-tune; then `from_scratch` is not used.
        train_on: Which turns are predicted: "all", "last", or those of one speaker: "last_speaker" (who says the last
            turn, and whom a persona describes), "first_speaker", "second_speaker".
        options: See `LanguageModule`.
    """

    model_class = ConversationModel

    def __init__(
        self, pretrained_model_name_or_path: str | None = None, train_on: TrainOn = "all", **options: Any
    ) -> None:
        super().__init__(pretrained_model_name_or_path, **options)
        self.train_on: TrainOn = train_on

    def texts(self, split: Literal["valid", "test"]) -> CorpusStats | None:
        """See `LanguageModule.texts`."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ConversationDataModule):
            return None
        windows = data.window_set(split)
        return CorpusStats("conversations", windows.conversations, {"word": windows.words()})

    def asked(self, asking: SampleRequest) -> list[Question]:
        """See `convmodel.training.samples.WritesSamples`: contexts, each with a persona."""
        if asking.contexts is not None:
            return [(context, ()) for context in asking.contexts]
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ConversationDataModule):
            return []
        first = islice(data.conversations("valid"), asking.number)
        return [(each.turns[: max(1, min(3, len(each.turns) - 1))], each.persona) for each in first]

    def samples(self, asked: Sequence[Question], *, seeds: Sequence[int], options: Mapping[str, Any]) -> list[Sample]:
        """See `convmodel.training.samples.WritesSamples`: replies."""
        contexts, personas = [list(context) for context, _ in asked], [list(persona) for _, persona in asked]
        outputs = self.conversation_model().generate_batch(contexts, personas=personas, seeds=seeds, **options)
        return [
            Sample(output.context, output.responses[0], {"context": c, "persona": p, "replies": output.responses})
            for c, p, output in zip(contexts, personas, outputs, strict=True)
        ]

    def conversation_model(self) -> ConversationModel:
        """The model as it is now, ready to reply."""
        return self.language_model()
