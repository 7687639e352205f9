"""Turns and options in, the engine's requests out; and what is kept of replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convmodel.data.conversation import check_turns
from convmodel.generation.options import DecodingConfig
from convmodel.generation.padded import ModelInput
from convmodel.models.text_generation import GeneratedText, GenerationJob, make_job
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer, Encoding
from convmodel.tokens.session import Session
from convmodel.tokens.text_tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class ReplyInputs:
    """A context that is ready to be replied to.

    Args:
        context: the turns so far.
        persona: sentences about the one who replies.
        encoding: both, laid out.
        prepared: what is asked of the engine.
    """

    context: list[str]
    persona: list[str]
    encoding: Encoding
    prepared: GenerationJob


def prepare(
    tokenizer: ConversationTokenizer,
    context: Sequence[str],
    persona: Sequence[str],
    decoding: DecodingConfig,
    *,
    seed: int | None = None,
    session: Session | None = None,
    keep: float = 1.0,
    scored: bool = False,
    sink: Callable[[str], None] | None = None,
) -> ReplyInputs:
    """Lays a context out and makes a request for each of its replies.

    Args:
        tokenizer: of the model.
        context: the turns so far, oldest first.
        persona: sentences about the one who replies.
        decoding: of the replies.
        seed: drawn from torch's global generator when None and something is sampled.
        session: where the ids of earlier replies are remembered.
        keep: see `ConversationTokenizer.arrange`.
        scored: whether likelihoods are wanted.
        sink: called with pieces of the first reply's text as they become certain.

    Raises:
        TypeError, ValueError: for turns that are none, or a persona that leaves no room, or a seed out of range.
    """
    turns = check_turns(context)
    sentences = check_turns(persona, what="persona sentence")
    encoded = tokenizer.encode_many([*sentences, *turns])
    spoken = encoded[len(sentences) :]
    if session is not None:
        spoken = [list(session.ids.get((place, turns[place]), ids)) for place, ids in enumerate(spoken)]
    encoding = tokenizer.encode_ids(
        spoken, persona=encoded[: len(sentences)], max_length=decoding.context_limit, keep=keep
    )
    prepared = make_job(
        tokenizer,
        ModelInput(encoding["input_ids"], encoding["token_type_ids"]),
        decoding,
        seed=seed,
        scored=scored,
        sink=sink,
        turns=spoken,
        said=spoken[-2::-2],
    )
    return ReplyInputs(list(turns), list(sentences), encoding, prepared)


def store_reply_ids(
    session: Session, context: Sequence[str], replies: Sequence[GeneratedText], tokenizer: TextTokenizer
) -> None:
    """Keeps the ids of replies whose text is all that they say; others are encoded again when they are read."""
    for reply in replies:
        if reply.text.strip() and tokenizer.decode(reply.ids) == reply.text:
            session.ids[len(context), reply.text] = reply.ids


def rank_and_deduplicate(
    replies: Sequence[GeneratedText], scores: Sequence[float] | None
) -> list[tuple[GeneratedText, float | None]]:
    """Replies with their scores, best first where there are scores, and no text twice."""
    found: dict[str, tuple[GeneratedText, float | None]] = {}
    order = list(range(len(replies)))
    if scores is not None:
        order.sort(key=lambda number: -scores[number])
    for number in order:
        found.setdefault(replies[number].text, (replies[number], None if scores is None else scores[number]))
    return list(found.values())
