"""Batches of conversations in, a trained GPT-2 out: the LightningModule of models that write replies."""

from typing import Any, ClassVar, Literal

from torch import Tensor

from convmodel.batching import Batch
from convmodel.data import ConversationDataModule
from convmodel.layout import TrainOn
from convmodel.model import ConversationModel
from convmodel.tokenizer import ConversationTokenizer
from convmodel.training.measuring import Texts
from convmodel.training.writing import WritingModule


class ConversationModule(WritingModule):
    """Trains a GPT-2 to write the next turn.

    Args:
        pretrained_model_name_or_path: A Hub name (gpt2) or a folder to fine-tune; then `from_scratch` is not used.
        train_on: Which turns are predicted: "all", "last", or those of one speaker: "last_speaker" (who says the last
            turn, and whom a persona describes), "first_speaker", "second_speaker".
        options: See `WritingModule`.
    """

    model_class: ClassVar[type[ConversationModel]] = ConversationModel
    tokenizer_class: ClassVar[type[ConversationTokenizer]] = ConversationTokenizer

    def __init__(
        self, pretrained_model_name_or_path: str | None = None, train_on: TrainOn = "all", **options: Any
    ) -> None:
        super().__init__(pretrained_model_name_or_path, **options)
        self.train_on: TrainOn = train_on

    def metadata(self, batch: Batch) -> Tensor:
        """See `WritingModule.metadata`: of the persona."""
        return batch["metadata"]

    def texts(self, split: Literal["valid", "test"]) -> Texts | None:
        """See `WritingModule.texts`."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ConversationDataModule):
            return None
        windows = data.window_set(split)
        return Texts("conversations", windows.conversations, {"word": windows.words()})

    def conversation_model(self) -> ConversationModel:
        """The model as it is now, ready to reply."""
        return self.language_model()
