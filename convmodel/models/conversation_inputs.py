"""Inputs of the conversation model: contexts laid out as generation jobs, and the ids of replies kept in sessions."""

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
    """A context that is laid out and ready for generation.

    Args:
        context: the turns so far.
        persona: sentences about the speaker who replies.
        encoding: the token ids of persona and context.
        job: the generation job of the replies.
    """

    context: list[str]
    persona: list[str]
    encoding: Encoding
    job: GenerationJob


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
    """Lay a context out and create a generation job for its replies.

    Args:
        tokenizer: the model's tokenizer.
        context: the turns so far, oldest first.
        persona: sentences about the speaker who replies.
        decoding: the decoding configuration of the replies.
        seed: seed of the replies; None draws one from torch's global generator if anything is sampled.
        session: the store of the ids of earlier replies, which replace the ids that their text would be encoded as.
        keep: see `ConversationTokenizer.encode_ids`.
        scored: whether to compute the likelihoods of the replies.
        sink: a function called with the next characters of the first reply as they become final.

    Raises:
        TypeError, ValueError: for an empty turn or one that is not a string, a persona that leaves no room for a turn,
            or a seed out of range.
    """
    turns = check_turns(context)
    sentences = check_turns(persona, what="persona sentence")
    encoded = tokenizer.encode_many([*sentences, *turns])
    turn_ids = encoded[len(sentences) :]
    if session is not None:
        turn_ids = [list(session.ids.get((index, turns[index]), ids)) for index, ids in enumerate(turn_ids)]
    encoding = tokenizer.encode_ids(
        turn_ids, persona=encoded[: len(sentences)], max_length=decoding.context_limit, keep=keep
    )
    job = make_job(
        tokenizer,
        ModelInput(encoding["input_ids"], encoding["token_type_ids"]),
        decoding,
        seed=seed,
        scored=scored,
        sink=sink,
        history_ids=turn_ids,
        own_turn_ids=turn_ids[-2::-2],
    )
    return ReplyInputs(list(turns), list(sentences), encoding, job)


def store_reply_ids(
    session: Session, context: Sequence[str], replies: Sequence[GeneratedText], tokenizer: TextTokenizer
) -> None:
    """Store the ids of replies in the session.

    Ids that do not decode to exactly the reply's text, such as those cut by a stop string, are not stored; the text of
    those replies is encoded when it is read.
    """
    for reply in replies:
        if reply.text.strip() and tokenizer.decode(reply.ids) == reply.text:
            session.ids[len(context), reply.text] = reply.ids


def rank_and_deduplicate(
    replies: Sequence[GeneratedText], scores: Sequence[float] | None
) -> list[tuple[GeneratedText, float | None]]:
    """Return replies with their scores, without duplicate texts, best first if there are scores."""
    unique: dict[str, tuple[GeneratedText, float | None]] = {}
    order = list(range(len(replies)))
    if scores is not None:
        order.sort(key=lambda index: -scores[index])
    for index in order:
        unique.setdefault(replies[index].text, (replies[index], None if scores is None else scores[index]))
    return list(unique.values())
