"""`Hybrid`: a responder that generates and selects replies, and ranks all of them."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack, cast

from convmodel.data.conversation import check_turns
from convmodel.generation.request import SEEDS
from convmodel.models.rerankers import Likelihood, Scorer, score_candidates, scorer_name
from convmodel.responders.handles import HybridReplyHandle, ReplyFuture
from convmodel.responders.protocol import (
    BoundedGenerator,
    Candidate,
    CandidateSearch,
    ClosesOnExit,
    ContextCounter,
    Load,
    Names,
    Reply,
    ReplyHandle,
    Responder,
    Session,
)
from convmodel.responders.ranking import (
    DEFAULTS,
    SELECTION_TEMPERATURE,
    check_options,
    drop_none,
    merge_candidates,
    rank_or_sample,
)
from convmodel.responders.worker_thread import SingleWorker
from convmodel.tokens.speakers import sides_of

NUM_RETURN_SEQUENCES = "num_return_sequences"

NUM_WRITTEN = 4
"""Default number of generated replies."""

RankedBy = Scorer | Literal["likelihood", "selector"]
"""Scorer of candidates; "likelihood" is the likelihood per token by the writer's model, "selector" the chooser's."""


class Hybrid(ClosesOnExit):
    """Responder that generates replies with a writer, selects replies with a chooser, and ranks all of them.

    A text that was both generated and selected is one candidate. If scores are equal, generated candidates precede
    selected ones, and candidates of one part keep their order. A generated reply without text is last.

    The options are those of both parts. `num_return_sequences` replies are generated (by default 4, or 1 for greedy
    decoding), and `num_candidates` are selected. With a `selection_temperature` above 0, the reply is sampled among all
    candidates by their scores. If no selected candidate reaches the chooser's `min_score`, the reply is a generated
    one, or without a writer the chooser's fallback.

    Args:
        writer: the responder that generates replies; may be None.
        chooser: the responder that selects replies; may be None if there is a writer.
        scorer: scorer of all candidates: "selector" for the chooser's selector, "likelihood" for the likelihood under
            the writer's model, or an object with a method `score(context, candidates)`. If None, "selector" with both
            parts; a single part keeps its own order.
        options: default options, which override those of the parts.

    Example:
        >>> with Hybrid(Writer.from_pretrained("model"), Chooser.from_pretrained("selector", texts)) as hybrid:
        ...     for candidate in hybrid.start(["Do you have any pets?"]).result().candidates:
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
        self._writer = writer
        self._chooser = chooser
        self._ranked_by = scorer
        self._scorer = _resolve_scorer(writer, chooser, scorer)
        self._defaults = {SELECTION_TEMPERATURE: DEFAULTS[SELECTION_TEMPERATURE], **drop_none(options or {})}
        self.check_options(self._defaults)
        self._worker = SingleWorker("hybrid")  # without a limit: the parts limit the open requests

    @property
    def _parts(self) -> list[Responder]:
        return [part for part in (self._chooser, self._writer) if part is not None]

    @property
    def options(self) -> Mapping[str, Any]:
        return self._merge_options({})

    def _merge_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the parts, overridden by the defaults of this responder and by `options`."""
        part_options = {name: value for part in self._parts for name, value in part.options.items()}
        given = {**self._defaults, **drop_none(options)}
        merged = {**part_options, **given}
        if self._writer is not None and NUM_RETURN_SEQUENCES not in given:
            merged[NUM_RETURN_SEQUENCES] = _default_num_written(merged)
        return merged

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        return {} if self._writer is None else self._writer.presets

    @property
    def load(self) -> Load:
        """The larger load of the two parts, by number of requests, and the token counts of the writer."""
        busiest = max((part.load for part in self._parts), key=lambda load: load.running + load.waiting)
        tokens = Load() if self._writer is None else self._writer.load
        return replace(tokens, running=busiest.running, waiting=busiest.waiting)

    @property
    def adapted(self) -> dict[str, "Hybrid"]:
        """Hybrid of each of the writer's adapters with the same chooser, by name; see `EngineWorker.adapted`."""
        writers: Mapping[str, Responder] = getattr(self._writer, "adapted", {})
        others: dict[str, Any] = {"scorer": self._ranked_by, "options": self._defaults}
        return {name: Hybrid(writer, self._chooser, **others) for name, writer in writers.items()}

    @property
    def context_length(self) -> int | None:
        """Maximum number of tokens of context and reply of the writer's model together; None without a writer."""
        return getattr(self._writer, "context_length", None)

    @property
    def searches(self) -> bool:
        return isinstance(self._chooser, CandidateSearch) and self._chooser.searches

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """Return the best candidates of the chooser, with the chooser's scores; see `CandidateSearch.search`."""
        if not isinstance(self._chooser, CandidateSearch):
            raise ValueError("there is nothing to search; give a chooser")
        return self._chooser.search(context, persona, k)

    def clamp_new_tokens(self, wanted: int) -> int:
        """See `BoundedGenerator.clamp_new_tokens`."""
        return self._writer.clamp_new_tokens(wanted) if isinstance(self._writer, BoundedGenerator) else wanted

    def count_tokens(self, context: Sequence[str], persona: Sequence[str] = ()) -> int:
        """See `ContextCounter.count_tokens`."""
        if not isinstance(self._writer, ContextCounter):
            raise ValueError("there is no model that counts tokens, because replies are only selected; give a writer")
        return self._writer.count_tokens(context, persona)

    def check_options(self, options: Mapping[str, Any]) -> None:
        for part, part_options in zip(self._parts, self._split_options(options), strict=True):
            part.check_options(part_options)
        check_options({name: value for name, value in options.items() if name == SELECTION_TEMPERATURE})

    def _split_options(self, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the options of each part. The temperature is left out, because it applies to the ranked candidates."""
        shared = {name: value for name, value in options.items() if name != SELECTION_TEMPERATURE}
        if len(self._parts) == 1:
            return [shared]
        chooser, _ = self._parts
        of_chooser = {name: value for name, value in shared.items() if name in chooser.options}
        return [of_chooser, {name: value for name, value in shared.items() if name not in of_chooser}]

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
        **names: Unpack[Names],
    ) -> HybridReplyHandle:
        """Start a reply and return at once; see `Responder.start`."""
        given = {**self._defaults, **drop_none(options or {})}
        merged = self._merge_options(given)
        if self._writer is not None:
            given[NUM_RETURN_SEQUENCES] = merged[NUM_RETURN_SEQUENCES]
        self.check_options(given)
        turns = check_turns(context)
        sides = sides_of(turns, **names)
        sentences = check_turns(persona, what="persona sentence")
        seed = secrets.randbelow(SEEDS) if seed is None else seed
        handles: list[ReplyHandle[Reply]] = []
        try:
            for part, part_options in zip(self._parts, self._split_options(given), strict=True):
                settings: Any = {"persona": sentences, "options": part_options, "seed": seed, "session": session}
                handles.append(part.start(turns, **settings, **names))
        except BaseException:
            for handle in handles:
                handle.cancel()
            raise
        temperature = merged[SELECTION_TEMPERATURE]

        def rank(replies: Sequence[Reply], future: ReplyFuture) -> None:
            self._worker.submit(lambda: self._rank(replies, sides, sentences, temperature, seed), future)

        return HybridReplyHandle(handles, rank)

    def close(self) -> None:
        for part in self._parts:
            part.close()
        self._worker.close()

    def _rank(
        self, replies: Sequence[Reply], context: Sequence[str], persona: Sequence[str], temperature: float, seed: int
    ) -> Reply:
        """Combine the replies of the parts into one, in the worker thread. A writer's reply is the last one."""
        chosen = None if self._chooser is None else replies[0]
        is_unsure = chosen is not None and chosen.candidates[0].source == "fallback"
        if is_unsure and self._writer is None:
            return replies[0]
        selected = () if chosen is None or is_unsure else chosen.candidates
        written = () if self._writer is None else replies[-1].candidates
        candidates = merge_candidates(written, selected)
        if self._scorer is not None:
            candidates = _score_candidates(self._scorer, context, persona, candidates)
        ranked = rank_or_sample(candidates, temperature=temperature, seed=seed)
        base = replies[-1]  # the writer's reply, which has token counts and window; without a writer, the chooser's
        return replace(
            base,
            candidates=ranked,
            finish=ranked[0].finish,
            reply_tokens=ranked[0].tokens,
            seed=seed if temperature else base.seed,
            ranked_by=base.ranked_by if self._scorer is None else scorer_name(self._scorer),
            confidence=None if chosen is None else chosen.confidence,
            min_score=None if chosen is None else chosen.min_score,
        )


def _score_candidates(
    scorer: Scorer, context: Sequence[str], persona: Sequence[str], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """Return the candidates with scores of the scorer. A candidate without text gets the score -inf."""
    texts = [candidate.text for candidate in candidates if candidate.text.strip()]
    scores = iter(score_candidates(scorer, context, texts, persona=persona) if texts else ())
    return [
        replace(candidate, score=next(scores) if candidate.text.strip() else float("-inf")) for candidate in candidates
    ]


def _default_num_written(options: Mapping[str, Any]) -> int:
    """Return the default number of generated replies: 4 for sampling or beam search with 4 or more beams, else 1.

    Sampling in a beam search gives at most one reply per beam.
    """
    beams = options.get("num_beams") or 1
    if not options.get("do_sample") and beams < NUM_WRITTEN:
        return 1
    return NUM_WRITTEN if beams == 1 else min(NUM_WRITTEN, beams)  # a beam search returns one text per beam


def _resolve_scorer(writer: Responder | None, chooser: Responder | None, scorer: RankedBy | None) -> Scorer | None:
    """Return the scorer object for an argument `scorer` of `Hybrid`, or None to keep the order of a single part.

    Raises ValueError for an unknown name, or if the part that the scorer needs is missing.
    """
    if scorer == "likelihood":
        model = getattr(writer, "model", None)
        if model is None:
            raise ValueError("scorer='likelihood': there is no writer with a model; give one, or another scorer")
        return Likelihood(model)
    has_both = writer is not None and chooser is not None
    if scorer == "selector" or (scorer is None and has_both):
        selector_scorer = getattr(chooser, "scorer", None)
        if selector_scorer is None:
            raise ValueError("scorer='selector': there is no Chooser; give one, or the scorer SelectorScorer(selector)")
        return cast(Scorer, selector_scorer)
    if isinstance(scorer, str):
        raise ValueError(f"scorer={scorer!r}; allowed are 'selector', 'likelihood', and objects with a method score")
    return scorer
