"""Turns and options in, the engine's requests out, and their tokens back in, replies out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from convmodel.conversation import check_turns
from convmodel.generation import Request, Row, Ticket
from convmodel.options import Decoding
from convmodel.responder import Finish, Session
from convmodel.seeds import SEEDS, mixed_seed
from convmodel.text_stream import TextStream
from convmodel.text_tokenizer import TextTokenizer
from convmodel.tokenizer import ConversationTokenizer, Encoding


@dataclass(frozen=True, slots=True)
class Prepared:
    """A context that is ready to be replied to.

    Args:
        context: the turns so far.
        persona: sentences about the one who replies.
        encoding: both, laid out.
        decoding: how replies are written.
        seed: with it the same context gives the same replies; None where nothing is drawn.
        requests: one for each reply.
        streams: the text of each reply, which grows with the engine's steps.
    """

    context: list[str]
    persona: list[str]
    encoding: Encoding
    decoding: Decoding
    seed: int | None
    requests: list[Request]
    streams: list[TextStream]

    @property
    def row(self) -> Row:
        """The laid-out context."""
        return Row(self.encoding["input_ids"], self.encoding["token_type_ids"])


@dataclass(frozen=True, slots=True)
class Written:
    """A reply as it was written.

    Args:
        text: without separators, and without what came with a stop string.
        ids: its tokens, without the one that ends it.
        finish: why it is over.
        per_token: its log-likelihood for each token under the model itself, its end included, in nats; None where
            nobody asked.
    """

    text: str
    ids: tuple[int, ...]
    finish: Finish
    per_token: float | None = None


def prepare(
    tokenizer: ConversationTokenizer,
    context: Sequence[str],
    persona: Sequence[str],
    decoding: Decoding,
    *,
    seed: int | None = None,
    session: Session | None = None,
    keep: float = 1.0,
    scored: bool = False,
    sink: Callable[[str], None] | None = None,
) -> Prepared:
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
    encoding = tokenizer.arrange(
        spoken, persona=encoded[: len(sentences)], max_length=decoding.context_limit, keep=keep
    )
    seed = _checked_seed(seed) if decoding.config.do_sample else None
    streams = [TextStream(tokenizer.hf_tokenizer, decoding.stop_strings) for _ in range(decoding.replies)]
    requests = [
        Request(
            encoding["input_ids"],
            encoding["token_type_ids"],
            decoding.config,
            seed=None if seed is None else mixed_seed(seed, number),
            stop=_Feed(stream, None if number else sink) if decoding.stop_strings or sink else None,
            scored=scored,
            turns=spoken,
            said=spoken[-2::-2],
        )
        for number, stream in enumerate(streams)
    ]
    return Prepared(list(turns), list(sentences), encoding, decoding, seed, requests, streams)


@dataclass(frozen=True, slots=True)
class _Feed:
    """Gives a reply's tokens to its text, and says when a stop string came."""

    stream: TextStream
    sink: Callable[[str], None] | None

    def __call__(self, token: int) -> bool:
        piece = self.stream.feed(token)
        if piece and self.sink is not None:
            self.sink(piece)
        return self.stream.stopped


def written(prepared: Prepared, tickets: Sequence[Ticket]) -> list[Written]:
    """What became of each request of a context, when all are over."""
    found = []
    for request, stream, ticket in zip(prepared.requests, prepared.streams, tickets, strict=True):
        assert ticket.finish is not None
        for token in () if request.stop is not None else ticket.tokens:
            stream.feed(token)
        stream.finish()
        likelihood = ticket.per_token if request.scored else None
        finish = "stop" if stream.stopped else ticket.finish
        found.append(Written(stream.text, tuple(ticket.tokens), finish, likelihood))
    return found


def as_written(tokenizer: TextTokenizer, prepared: Prepared, ids: Sequence[int]) -> Written:
    """The same of a reply that did not come from the engine, from its tokens without the end."""
    how = prepared.decoding
    stream = TextStream(tokenizer.hf_tokenizer, how.stop_strings)
    for token in ids:
        stream.feed(token)
    stream.finish()
    most = how.config.max_new_tokens
    if most is None:
        most = how.config.max_length - len(prepared.encoding["input_ids"])
    full = len(ids) >= most
    return Written(stream.text, tuple(ids), "stop" if stream.stopped else "length" if full else "end")


def _checked_seed(seed: int | None) -> int:
    if seed is None:
        return int(torch.randint(SEEDS - 1, (1,)))
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ValueError(f"seed={seed!r}; allowed are whole numbers from 0 to 2**63 - 1")
    return seed


def remember(session: Session, prepared: Prepared, replies: Sequence[Written], tokenizer: TextTokenizer) -> None:
    """Keeps the ids of replies whose text is all that they say; others are encoded again when they are read."""
    for reply in replies:
        if reply.text.strip() and tokenizer.decode(reply.ids) == reply.text:
            session.ids[len(prepared.context), reply.text] = reply.ids


def without_repeats(replies: Sequence[Written], scores: Sequence[float] | None) -> list[tuple[Written, float | None]]:
    """Replies with their scores, best first where there are scores, and no text twice."""
    found: dict[str, tuple[Written, float | None]] = {}
    order = list(range(len(replies)))
    if scores is not None:
        order.sort(key=lambda number: -scores[number])
    for number in order:
        found.setdefault(replies[number].text, (replies[number], None if scores is None else scores[number]))
    return list(found.values())
