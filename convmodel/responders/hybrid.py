"""Contexts of many people in, the best of what was written and what was chosen out: Responders as one."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from convmodel.data.conversation import check_turns
from convmodel.generation.seeds import SEEDS
from convmodel.models.rerankers import Likelihood, Scorer, name_of, scores_of
from convmodel.responders.protocol import (
    Candidate,
    CandidateSearch,
    Load,
    Reply,
    ReplyHandle,
    ReportsLoad,
    Responder,
    Session,
)
from convmodel.responders.ranking import DEFAULTS, DRAW_TEMPERATURE, check_choosing, drop_none, rank_or_sample
from convmodel.responders.worker_thread import NOTHING, ReplyFuture, SingleWorker

NUM_RETURN_SEQUENCES = "num_return_sequences"
NUM_WRITTEN = 4
"""Replies that are written, where nobody says."""

RankedBy = Scorer | Literal["likelihood", "selector"]
"""A scorer; the likelihood per token under the model that writes; or the model that chooses."""


class Hybrid:
    """Has replies written and chosen, and takes the best of all.

    A text that was both written and chosen is one candidate. Of equal scores the written one is taken before the chosen
    one, and otherwise what its own stage found better. A written reply without text comes last.

    Its options are those of both parts. `num_return_sequences` replies are written (4 where nobody says, 1 without a
    draw), `num_candidates` are chosen; with a `selection_temperature` above 0 the reply is drawn among all of them by their
    scores.

    Args:
        writer: any Responder that writes, or None.
        chooser: any Responder that chooses, such as a Chooser, or None.
        scorer: what ranks all of them: "selector", the model that chooses, is used where there are both parts and
            nothing is said; "likelihood" is that under the model that writes; or any object with
            `score(context, candidates)`. One part alone keeps its own order where there is none.
        options: used where a request does not say otherwise, on top of those of the parts.

    Raises:
        ValueError: when there is nothing that replies, or a scorer that goes with a part that is not there.

    Example:
        >>> with Hybrid(Writer.from_pretrained("model"), Chooser.from_pretrained("selector", texts)) as hybrid:
        ...     for candidate in hybrid.start(["Do you have any pets?"]).reply().candidates:
        ...         print(candidate.score, candidate.source, candidate.text)
    """

    def __init__(
        self,
        writer: Responder | None = None,
        chooser: Responder | None = None,
        *,
        scorer: RankedBy | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if writer is None and chooser is None:
            raise ValueError("there is nothing that replies; give a writer, a chooser, or both")
        self._writer, self._chooser = writer, chooser
        self._scorer = _scorer(writer, chooser, scorer)
        self._defaults = {DRAW_TEMPERATURE: DEFAULTS[DRAW_TEMPERATURE], **drop_none(options or {})}
        self.check_options(self._defaults)
        self._thread = SingleWorker("hybrid")  # the parts see to it that not too much is open

    def __enter__(self) -> "Hybrid":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _parts(self) -> list[Responder]:
        return [part for part in (self._chooser, self._writer) if part is not None]

    @property
    def options(self) -> Mapping[str, Any]:
        """What is used where a request does not say otherwise."""
        return self._how({})

    def _how(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All that is in effect; greedily there is only one reply to write."""
        of_parts = {name: value for part in self._parts for name, value in part.options.items()}
        asked = {**self._defaults, **drop_none(options)}
        how = {**of_parts, **asked}
        if self._writer is not None and NUM_RETURN_SEQUENCES not in asked:
            beams = how.get("num_beams") or 1
            several = how.get("do_sample") or beams >= NUM_WRITTEN
            most = NUM_WRITTEN if beams == 1 else min(NUM_WRITTEN, beams)  # no more are left of so many beams
            how[NUM_RETURN_SEQUENCES] = most if several else 1
        return how

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """Sets of options by name, those of the writer."""
        return {} if self._writer is None else self._writer.presets

    @property
    def load(self) -> Load:
        """How busy the busier of the parts is, and the tokens of the one that writes."""
        loads = [part.load for part in self._parts if isinstance(part, ReportsLoad)]
        busiest = max(loads, key=lambda load: load.running + load.waiting, default=Load())
        tokens = self._writer.load if isinstance(self._writer, ReportsLoad) else Load()
        return replace(tokens, running=busiest.running, waiting=busiest.waiting)

    @property
    def searches(self) -> bool:
        """Whether there is a part that searches candidates."""
        return isinstance(self._chooser, CandidateSearch) and self._chooser.searches

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """What the part that chooses finds, by its own scores; see `CandidateSearch.search`."""
        if not isinstance(self._chooser, CandidateSearch):
            raise ValueError("there is nothing to search; give a chooser")
        return self._chooser.search(context, persona, k)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError, which names option, value, and what is allowed, for options that cannot be followed."""
        for part, own in zip(self._parts, self._shared_out(options), strict=True):
            part.check_options(own)
        check_choosing({name: value for name, value in options.items() if name == DRAW_TEMPERATURE})

    def _shared_out(self, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """For each part the options that it is to follow; the draw is ours."""
        shared = {name: value for name, value in options.items() if name != DRAW_TEMPERATURE}
        if len(self._parts) == 1:
            return [shared]
        chooser, _ = self._parts
        chosen = {name: value for name, value in shared.items() if name in chooser.options}
        return [chosen, {name: value for name, value in shared.items() if name not in chosen}]

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> "HybridReplyHandle":
        """Begins to reply and returns at once; see `Responder.start`.

        Raises:
            TypeError, ValueError: for turns or options that cannot be followed.
            QueueFull: when too many requests wait.
            RuntimeError: when the hybrid was closed.
        """
        asked = {**self._defaults, **drop_none(options or {})}
        how = self._how(asked)
        if self._writer is not None:
            asked[NUM_RETURN_SEQUENCES] = how[NUM_RETURN_SEQUENCES]
        self.check_options(asked)
        turns, sentences = check_turns(context), check_turns(persona, what="persona sentence")
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        begun: list[ReplyHandle] = []
        try:
            for part, own in zip(self._parts, self._shared_out(asked), strict=True):
                begun.append(part.start(turns, persona=sentences, options=own, seed=seed, session=session))
        except BaseException:
            for each in begun:
                each.cancel()
            raise
        draw = (how[DRAW_TEMPERATURE], seed)
        return HybridReplyHandle(begun, lambda replies, into: self._begin(replies, into, turns, sentences, draw))

    def close(self) -> None:
        """Closes both parts; twice is no error."""
        for part in self._parts:
            part.close()
        self._thread.close()

    def _begin(
        self,
        replies: Sequence[Reply],
        into: ReplyFuture,
        context: Sequence[str],
        persona: Sequence[str],
        draw: tuple[float, int],
    ) -> None:
        """Has the candidates of the parts' replies ranked."""
        chosen = () if self._chooser is None else replies[0].candidates
        written = () if self._writer is None else replies[-1].candidates
        candidates = merge_candidates(written, chosen)
        temperature, seed = draw

        def rank() -> Reply:
            scored = candidates if self._scorer is None else _scored(self._scorer, context, persona, candidates)
            ranked = rank_or_sample(scored, temperature=temperature, seed=seed)
            own = replies[-1]  # the writer's, where there is one: it knows of tokens and windows
            return replace(
                own,
                candidates=ranked,
                finish=ranked[0].finish,
                reply_tokens=ranked[0].tokens,
                seed=seed if temperature else own.seed,
                ranked_by=own.ranked_by if self._scorer is None else name_of(self._scorer),
            )

        self._thread.begin(rank, into)


class HybridReplyHandle:
    """A `ReplyHandle` of a Hybrid.

    Args:
        parts: what is being written and chosen; the one that writes is the last.
        rank: has one Reply made of theirs.
    """

    def __init__(self, parts: Sequence[ReplyHandle], rank: Callable[[Sequence[Reply], ReplyFuture], None]) -> None:
        self._parts, self._rank = parts, rank
        self._began = time.perf_counter()
        self._ranked = ReplyFuture()
        self._waiting = threading.Lock()
        self._reply: Reply | Exception | None = None
        self._cancelled = False

    def __iter__(self) -> Iterator[str]:
        text = self.reply().text
        if text:
            yield text

    def cancel(self) -> None:
        self._cancelled = True
        for part in self._parts:
            part.cancel()
        self._ranked.cancel()

    def reply(self) -> Reply:
        with self._waiting:
            if self._reply is None:
                self._reply = self._made()
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply

    def _made(self) -> Reply | Exception:
        try:
            replies = [part.reply() for part in self._parts]
            if not self._cancelled:
                self._rank(replies, self._ranked)
            found = self._ranked.reply()
        except Exception as error:
            self.cancel()
            return error
        if found is NOTHING:
            found = replace(replies[-1], finish="cancelled")
        seconds = time.perf_counter() - self._began
        return replace(found, seconds=seconds, first_seconds=seconds)


def merge_candidates(written: Iterable[Candidate], chosen: Iterable[Candidate]) -> list[Candidate]:
    """The candidates of both, written ones first, no text twice, each with the scores of its stages.

    Texts that differ in nothing but white space at their ends are the same; the written one's is kept.
    """
    found: dict[str, Candidate] = {}
    for each in written:
        found.setdefault(each.text.strip(), replace(each, scores=_scores(each, "written")))
    for each in chosen:
        key, scores = each.text.strip(), _scores(each, "chosen")
        same = found.setdefault(key, replace(each, scores=scores))
        if same.source == "written":
            scores = {**same.scores, **scores}
            found[key] = replace(same, source="both", number=each.number, metadata=each.metadata, scores=scores)
    return list(found.values())


def _scores(candidate: Candidate, stage: str) -> dict[str, float]:
    return {**candidate.scores, **({} if candidate.score is None else {stage: candidate.score})}


def _scored(
    scorer: Scorer, context: Sequence[str], persona: Sequence[str], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """The candidates with the scores that a scorer gives them; it is not asked of those without text."""
    said = [candidate.text for candidate in candidates if candidate.text.strip()]
    scores = iter(scores_of(scorer, context, said, persona=persona) if said else ())
    return [
        replace(candidate, score=next(scores) if candidate.text.strip() else float("-inf")) for candidate in candidates
    ]


def _scorer(writer: Responder | None, chooser: Responder | None, asked: RankedBy | None) -> Scorer | None:
    """What ranks."""
    both = writer is not None and chooser is not None
    if asked == "likelihood":
        model = getattr(writer, "model", None)
        if model is None:
            raise ValueError("scorer='likelihood': there is no writer with a model; give one, or another scorer")
        return Likelihood(model)
    if asked == "selector" or (asked is None and both):
        scorer = getattr(chooser, "scorer", None)
        if scorer is None:
            raise ValueError("scorer='selector': there is no Chooser; give one, or the scorer SelectorScorer(selector)")
        return cast(Scorer, scorer)
    if isinstance(asked, str):
        raise ValueError(f"scorer={asked!r}; allowed are 'selector', 'likelihood', and objects with a method score")
    return asked
