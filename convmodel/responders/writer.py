"""Contexts of many people in, written replies out, piece by piece: the Responder on a model that writes."""

import queue
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from convmodel.generation.options import PRESETS
from convmodel.generation.seeds import SEEDS
from convmodel.models.conversation_inputs import ReplyInputs, prepare, rank_and_deduplicate, store_reply_ids
from convmodel.models.conversation_model import ConversationModel
from convmodel.models.rerankers import ScoredBy, name_of
from convmodel.models.text_generation import GeneratedText
from convmodel.responders.engine_worker import EngineThread
from convmodel.responders.handles import GenerationHandle, Pieces
from convmodel.responders.protocol import MAX_RUNNING, MAX_WAITING, Candidate, Reply, Session


class Writer(EngineThread[ConversationModel]):
    """Writes replies to many conversations at once, on one model, in one thread of its own.

    Contexts that do not fit the window lose several of their oldest turns at once, so that what was read of a
    conversation stays valid for many turns. Options that the engine does not do (beams) are done by transformers'
    `generate`, and hold the others up meanwhile.

    Args:
        model: its weights must not change any more.
        options: used where a request does not say otherwise, on top of the model's `generation_config`.
        scorer: what decides between several replies to one request.
        keep: the share of the window that stays when turns must go; at 1 as many turns stay as fit.
        max_running, max_kept, max_waiting: see `EngineThread`.

    Example:
        >>> with Writer.from_pretrained("model") as writer:
        ...     for piece in writer.start(["Hello!"]):
        ...         print(piece, end="", flush=True)
    """

    model_class = ConversationModel
    noun = "reply"

    def __init__(
        self,
        model: ConversationModel,
        *,
        options: Mapping[str, Any] | None = None,
        scorer: ScoredBy = "likelihood",
        keep: float = 0.5,
        max_running: int = MAX_RUNNING,
        max_kept: int | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep={keep}; allowed are numbers above 0 and at most 1")
        self._scorer, self._keep = scorer, keep
        super().__init__(model, options=options, max_running=max_running, max_kept=max_kept, max_waiting=max_waiting)

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name."""
        return PRESETS

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> "ReplyInProgress":
        """Begins to reply and returns at once; see `Responder.start`.

        A seed that is not given is not drawn from torch's global generator: beams may be sampled from it just then.

        Raises:
            TypeError, ValueError: for turns or options that cannot be followed.
            QueueFull: when too many requests wait.
            RuntimeError: when the writer was closed.
        """
        how = self._decoding(options or {})
        pieces: Pieces = queue.SimpleQueue()
        asked = prepare(
            self._model.tokenizer,
            context,
            persona,
            how,
            seed=secrets.randbelow(SEEDS) if seed is None else seed,
            session=session,
            keep=self._keep,
            scored=how.replies > 1 and self._scorer == "likelihood",
            sink=pieces.put if how.replies == 1 else None,
        )
        rank = ReplyRanker(self._model, self._scorer)
        return self._take(ReplyInProgress(asked, pieces, self._over, rank, session))


class ReplyRanker:
    """Decides between several replies.

    Args:
        model: what wrote them.
        scorer: what compares them.
    """

    def __init__(self, model: ConversationModel, scorer: ScoredBy) -> None:
        self.model, self._scorer = model, scorer
        self.name = name_of(scorer)

    def __call__(
        self, asked: ReplyInputs, replies: Sequence[GeneratedText]
    ) -> list[tuple[GeneratedText, float | None]]:
        """Replies with their scores, best first; without scores where there is one."""
        scores = self.model.scores(asked, replies, self._scorer) if len(replies) > 1 else None
        return rank_and_deduplicate(replies, scores)


class ReplyInProgress(GenerationHandle):
    """A `ReplyHandle` of the writer.

    Args:
        asked: the context that is replied to.
        pieces, over: see `GenerationHandle`.
        rank: decides between several replies; called by whoever waits for them.
        session: that remembers them, if there is one.
    """

    def __init__(
        self, asked: ReplyInputs, pieces: Pieces, over: Callable[[], None], rank: ReplyRanker, session: Session | None
    ) -> None:
        super().__init__(asked.prepared, pieces, over)
        self._asked, self._rank, self._session = asked, rank, session
        self._ranking = threading.Lock()
        self._reply: Reply | None = None

    def _text(self) -> str:
        return self.reply().text

    def reply(self) -> Reply:
        """Waits for the end. Raises what went wrong."""
        replies = self.written()
        with self._ranking:
            if self._reply is None:
                self._reply = self._ranked(replies)
        return self._reply

    def _ranked(self, replies: list[GeneratedText]) -> Reply:
        asked, model = self._asked, self._rank.model
        ranked = self._rank(asked, replies)
        if self._session is not None:
            store_reply_ids(self._session, asked.context, replies, model.tokenizer)
        best = ranked[0][0]
        return Reply(
            tuple(Candidate(each.text, score, finish=each.finish, tokens=len(each.ids)) for each, score in ranked),
            finish=best.finish,
            context_tokens=len(self.prepared.row.input_ids),
            reply_tokens=len(best.ids),
            window=model.n_positions,
            turns_dropped=asked.encoding.turns_dropped,
            tokens_dropped=asked.encoding.tokens_dropped,
            seconds=self.seconds,
            first_seconds=self.first_seconds,
            seed=self.prepared.seed,
            ranked_by=self._rank.name if ranked[0][1] is not None else "",
            cached_tokens=self.cached_tokens,
        )
