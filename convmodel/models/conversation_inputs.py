"""Inputs and outputs of the conversation model: laid-out contexts, generated replies, and likelihoods of replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from convmodel.generation.padded import ModelInput
from convmodel.models.html_table import html_table
from convmodel.models.text_generation import GeneratedText, GenerationJob
from convmodel.tokens.conversation_layout import ConversationSequence
from convmodel.tokens.speakers import Context


@dataclass(frozen=True)
class ConversationModelOutput:
    """Generated replies to the turns of a context.

    Args:
        responses: one text for each returned sequence, without separators.
        context: the turns that the model replied to.
        turns_dropped: number of oldest turns that did not fit into the model's window.
        scores: the score of each response if a scorer was given; the responses are then sorted by score, best first,
            without duplicates.
    """

    responses: list[str]
    context: list[str]
    turns_dropped: int = 0
    scores: list[float] | None = None

    def _repr_html_(self) -> str:
        """Return a table of the responses, with their scores if there are any, below the context."""
        rows = zip(self.responses, self.scores or repeat(None), strict=False)
        return html_table(({"reply": reply, "score": score} for reply, score in rows), above=self.context)


@dataclass(frozen=True)
class ConversationModelScores:
    """Log-likelihoods of C candidates as the reply, in nats: higher is better.

    Args:
        candidates: the candidates.
        summed: (C,) log-likelihood of each candidate, including the final separator.
        per_token: (C,) log-likelihood of each candidate divided by its number of tokens.
        num_tokens: (C,) number of tokens of each candidate, including the final separator.
    """

    candidates: list[str]
    summed: list[float]
    per_token: list[float]
    num_tokens: list[int]

    def _repr_html_(self) -> str:
        """Return a table of the candidates, in their order."""
        rows = zip(self.candidates, self.summed, self.per_token, strict=True)
        return html_table({"candidate": text, "summed": total, "per token": mean} for text, total, mean in rows)


@dataclass(frozen=True, slots=True)
class ReplyInputs:
    """A laid-out context, ready for generation.

    Args:
        spoken: the turns with their speakers, in the form that the layout needs.
        persona: the persona sentences.
        job: the generation job.
        turns_dropped: number of oldest turns that did not fit into the window.
        tokens_dropped: number of tokens in these turns, plus those cut from the newest turn.
        given: the arguments `context`, `speakers` and `speaker`, unchanged.
    """

    spoken: Context
    persona: list[str]
    job: GenerationJob
    turns_dropped: int
    tokens_dropped: int
    given: Mapping[str, Any]

    @property
    def context(self) -> list[str]:
        """The texts of the turns in the form that the layout needs."""
        return list(self.spoken.turns)


def to_input(sequence: ConversationSequence) -> ModelInput:
    """Return a laid-out conversation as a model input; a layout without token types has None."""
    return ModelInput(sequence.input_ids, sequence.token_type_ids or None)


def rank_and_deduplicate(
    replies: Sequence[GeneratedText], scores: Sequence[float] | None
) -> list[tuple[GeneratedText, float | None]]:
    """Return pairs of reply and score without duplicate texts; if there are scores, best first."""
    order = range(len(replies)) if scores is None else sorted(range(len(replies)), key=lambda i: -scores[i])
    unique: dict[str, tuple[GeneratedText, float | None]] = {}
    for i in order:
        unique.setdefault(replies[i].text, (replies[i], None if scores is None else scores[i]))
    return list(unique.values())
