"""Contexts of a conversation model: laid out for generation, and its replies to them with their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convmodel.generation.padded import ModelInput
from convmodel.models.text_generation import GeneratedText, GenerationJob
from convmodel.tokens.conversation_layout import ConversationSequence
from convmodel.tokens.speakers import Context


@dataclass(frozen=True)
class ConversationModelOutput:
    """Generated replies to the turns of a context.

    Args:
        responses: one text for each returned sequence, without separators.
        turns_dropped: number of oldest turns that did not fit into the model's window.
        scores: the score of each response if a scorer was given; the responses are then sorted by score, best first,
            without duplicates.
    """

    responses: list[str]
    context: list[str]
    turns_dropped: int = 0
    scores: list[float] | None = None


@dataclass(frozen=True)
class ConversationModelScores:
    """Log-likelihoods of C candidates as the reply, in nats: higher is better. The final separator counts as a token.

    Args:
        summed, per_token: (C,) log-likelihood of each candidate, and the same divided by its number of tokens.
        num_tokens: (C,) number of tokens of each candidate, including the final separator.
    """

    candidates: list[str]
    summed: list[float]
    per_token: list[float]
    num_tokens: list[int]


@dataclass(frozen=True, slots=True)
class ReplyInputs:
    """A context that is laid out and ready for generation.

    Args:
        spoken: the turns as the layout takes them, with their speakers.
        turns_dropped, tokens_dropped: numbers of the oldest turns that did not fit into the window, and of the tokens
            of these turns or cut from the newest turn.
        given: `context`, `speakers` and `speaker` as they were given.
    """

    spoken: Context
    persona: list[str]
    job: GenerationJob
    turns_dropped: int
    tokens_dropped: int
    given: Mapping[str, Any]

    @property
    def context(self) -> list[str]:
        """The texts of the turns as the layout takes them."""
        return list(self.spoken.turns)


def to_input(sequence: ConversationSequence) -> ModelInput:
    """Return a laid-out conversation as an input of the model."""
    return ModelInput(sequence.input_ids, sequence.token_type_ids or None)


def rank_and_deduplicate(
    replies: Sequence[GeneratedText], scores: Sequence[float] | None
) -> list[tuple[GeneratedText, float | None]]:
    """Return replies with their scores, without duplicate texts, best first if there are scores."""
    order = range(len(replies)) if scores is None else sorted(range(len(replies)), key=lambda i: -scores[i])
    unique: dict[str, tuple[GeneratedText, float | None]] = {}
    for i in order:
        unique.setdefault(replies[i].text, (replies[i], None if scores is None else scores[i]))
    return list(unique.values())
