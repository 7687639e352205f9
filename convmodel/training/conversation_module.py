"""LightningModule that trains a language model to write replies."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from convmodel.data.conversation import Conversation
from convmodel.generation.causal_lm import type_reads_token_types
from convmodel.models.conversation_model import ConversationModel
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.layout_options import LayoutChoice, LayoutOptions
from convmodel.tokens.turn_windows import TrainOn
from convmodel.training.datamodules.base import ModelInputs
from convmodel.training.language_module import LanguageModule
from convmodel.training.samples import Sample, SampleRequest


class ReplyInput(NamedTuple):
    """Input of a sample: context, persona and names, as the arguments of `ConversationModel.generate`."""

    context: Sequence[str]
    persona: Sequence[str] = ()
    speakers: Sequence[str] | None = None
    speaker: str | None = None


class ConversationModule(LanguageModule[ConversationModel]):
    """Trains a language model to write the next turn.

    Args:
        pretrained_model_name_or_path: Hub name (gpt2) or folder of the model to fine-tune; `from_scratch` is then
            ignored.
        layout: Format in which persona and turns become tokens: "separators", "chat_template" (the template of the
            tokenizer) or "auto". "auto" uses the layout of the pretrained folder. If the folder has none, it uses the
            chat template if the tokenizer has one, else separators.
        token_types: Whether the layout with separators also gives each token a type by its speaker, which GPT-2 reads.
            If null, as in the pretrained folder, and true for a new model.
        max_speakers: Maximum number of speakers of a conversation that have their own token type. If null, as in the
            pretrained folder, and 2 for a new model. With 2, a conversation of named speakers is read as one of two
            sides: the speaker of the last turn, and all others.
        train_on: Turns to predict: "all", "last", or the turns of one speaker: "last_speaker" (the speaker of the last
            turn, whom the persona describes), "first_speaker" or "second_speaker".
        options: See `LanguageModule`.
    """

    model_class = ConversationModel
    next_step = "Talk to it: python -m convmodel chat --model {folder}"

    def __init__(
        self,
        pretrained_model_name_or_path: str | None = None,
        layout: LayoutChoice = "auto",
        token_types: bool | None = None,
        max_speakers: int | None = None,
        train_on: TrainOn = "all",
        **options: Any,
    ) -> None:
        chosen: dict[str, Any] = {"layout": None if layout == "auto" else layout, "token_types": token_types}
        chosen["max_speakers"] = max_speakers
        self._layout_options = {name: value for name, value in chosen.items() if value is not None}
        LayoutOptions(**self._layout_options)
        super().__init__(pretrained_model_name_or_path, **options)
        self._train_on: TrainOn = train_on

    @property
    def inputs(self) -> ModelInputs:
        return ModelInputs(
            "ConversationDataModule", self.n_positions, self._train_on, default_length=self.default_length
        )

    @property
    def extra_config(self) -> dict[str, Any]:
        """Options of the layout: those of the checkpoint or the pretrained folder, overridden by those of the user."""
        types = {} if type_reads_token_types(self.model_type) else {"token_types": False}
        return super().extra_config | self._layout_options | types

    @property
    def vocabulary_options(self) -> dict[str, Any]:
        """Options of `learn`: the number of speakers for which the vocabulary reserves a token, if it is not 2."""
        options = self.extra_config
        speakers = options.get("max_speakers", 2) if options.get("token_types", True) else 2
        return {} if speakers == 2 else {"max_speakers": speakers}

    def use_inputs(self, inputs: ModelInputs) -> None:
        """Choose the layout of the tokenizer, before the data module uses it."""
        cast(ConversationTokenizer, self._required_tokenizer()).choose_layout(**self.extra_config)

    def sample_inputs(self, request: SampleRequest) -> list[ReplyInput]:
        """Return the contexts of the user, or else the first turns of validation conversations with their personas."""
        if request.contexts is not None:
            return [ReplyInput(context) for context in request.contexts]
        return [_sample_input(conversation) for conversation in request.examples]

    def write_samples(
        self, inputs: Sequence[ReplyInput], *, seeds: Sequence[int], options: Mapping[str, Any]
    ) -> list[Sample]:
        """Generate a reply for each input."""
        columns = zip(*inputs, strict=True)
        rows: dict[str, Any] = {name: list(values) for name, values in zip(ReplyInput._fields, columns, strict=True)}
        rows["personas"] = rows.pop("persona")
        outputs = self.language_model().generate_batch(rows.pop("context"), **rows, seeds=seeds, **options)
        return [
            Sample(output.context, output.responses[0], _record(given) | {"replies": output.responses})
            for given, output in zip(inputs, outputs, strict=True)
        ]


def _sample_input(conversation: Conversation) -> ReplyInput:
    """Return the first turns of a conversation as a context, and the speaker of the next turn as the one who replies.

    The context has three turns, or fewer if the conversation is shorter. With names, it ends where the speaker changes.
    """
    turns, names = conversation.turns, conversation.speakers
    if names is None:
        return ReplyInput(turns[: max(1, min(3, len(turns) - 1))], conversation.persona)
    changes = [turn for turn in range(1, len(turns)) if names[turn] != names[turn - 1]]
    size = max([turn for turn in changes if turn <= 3], default=changes[0])
    persona = conversation.persona if names[size] == names[-1] else ()
    return ReplyInput(turns[:size], persona, names[:size], names[size])


def _record(given: ReplyInput) -> dict[str, Any]:
    """Return an input as a record of `generated.jsonl`, with names only if the conversation has them."""
    record = {"context": list(given.context), "persona": list(given.persona)}
    return record if given.speakers is None else record | {"speakers": list(given.speakers), "speaker": given.speaker}
