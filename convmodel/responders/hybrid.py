"""`Hybrid`: the responder that combines generated and selected replies and ranks all of them."""

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
"""A scorer; the likelihood per token under the writer's model; or the chooser's selector."""


class Hybrid(ClosesOnExit):
    """Generates and selects replies, and ranks all of them.

    A text that was both generated and selected is one candidate. Of equal scores, a generated candidate precedes a
    selected one; otherwise the order of the candidate's own stage decides. A generated reply without text comes last.

    Its options are those of both parts. `num_return_sequences` replies are generated (4 by default, 1 if decoding is
    greedy) and `num_candidates` are selected; with a `selection_temperature` above 0 the reply is sampled among all of
    them by their scores.

    Args:
        scorer: ranks all candidates: "selector" for the chooser's model, the default if there are both parts;
            "likelihood" for the likelihood under the writer's model; or an object with `score(context, candidates)`. A
            single part without a scorer keeps its own order.
        options: default options, on top of those of the parts.

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
        """Return all options in effect, with the default number of generated replies."""
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
        """Requests of the busier part, and token counts of the writer."""
        busiest = max((part.load for part in self._parts), key=lambda load: load.running + load.waiting)
        tokens = Load() if self._writer is None else self._writer.load
        return replace(tokens, running=busiest.running, waiting=busiest.waiting)

    @property
    def adapted(self) -> dict[str, "Hybrid"]:
        """Hybrids of the writer's adapters with the same chooser, by name; see `EngineWorker.adapted`."""
        writers: Mapping[str, Responder] = getattr(self._writer, "adapted", {})
        others: dict[str, Any] = {"scorer": self._ranked_by, "options": self._defaults}
        return {name: Hybrid(writer, self._chooser, **others) for name, writer in writers.items()}

    @property
    def context_length(self) -> int | None:
        """Number of tokens that the writer's model reads at once, its reply included; None without a writer."""
        return getattr(self._writer, "context_length", None)

    @property
    def searches(self) -> bool:
        return isinstance(self._chooser, CandidateSearch) and self._chooser.searches

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> Sequence[Candidate]:
        """Return the chooser's best candidates with its own scores; see `CandidateSearch.search`."""
        if not isinstance(self._chooser, CandidateSearch):
            raise ValueError("there is nothing to search; give a chooser")
        return self._chooser.search(context, persona, k)

    def clamp_new_tokens(self, wanted: int) -> int:
        """See `BoundedGenerator.clamp_new_tokens`."""
        return self._writer.clamp_new_tokens(wanted) if isinstance(self._writer, BoundedGenerator) else wanted

    def count_tokens(self, context: Sequence[str], persona: Sequence[str] = ()) -> int:
        """See `ContextCounter.count_tokens`."""
        if not isinstance(self._writer, ContextCounter):
            raise ValueError("replies are only selected here; a model that generates them counts tokens")
        return self._writer.count_tokens(context, persona)

    def check_options(self, options: Mapping[str, Any]) -> None:
        for part, part_options in zip(self._parts, self._split_options(options), strict=True):
            part.check_options(part_options)
        check_options({name: value for name, value in options.items() if name == SELECTION_TEMPERATURE})

    def _split_options(self, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the options of each part, without the temperature, which applies to the combined candidates."""
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
        """Combine the parts' replies, of which the writer's is the last, into one; runs in the worker thread."""
        selected = () if self._chooser is None else replies[0].candidates
        written = () if self._writer is None else replies[-1].candidates
        candidates = merge_candidates(written, selected)
        if self._scorer is not None:
            candidates = _score_candidates(self._scorer, context, persona, candidates)
        ranked = rank_or_sample(candidates, temperature=temperature, seed=seed)
        base = replies[-1]  # the writer's, if there is one: it has the token counts and the window
        return replace(
            base,
            candidates=ranked,
            finish=ranked[0].finish,
            reply_tokens=ranked[0].tokens,
            seed=seed if temperature else base.seed,
            ranked_by=base.ranked_by if self._scorer is None else scorer_name(self._scorer),
        )


def _score_candidates(
    scorer: Scorer, context: Sequence[str], persona: Sequence[str], candidates: Sequence[Candidate]
) -> list[Candidate]:
    """Return the candidates with the scorer's scores; those without text get -inf without calling the scorer."""
    texts = [candidate.text for candidate in candidates if candidate.text.strip()]
    scores = iter(score_candidates(scorer, context, texts, persona=persona) if texts else ())
    return [
        replace(candidate, score=next(scores) if candidate.text.strip() else float("-inf")) for candidate in candidates
    ]


def _default_num_written(options: Mapping[str, Any]) -> int:
    """Return 4 for sampling and for enough beams, at most the number of beams, and 1 for greedy decoding."""
    beams = options.get("num_beams") or 1
    if not options.get("do_sample") and beams < NUM_WRITTEN:
        return 1
    return NUM_WRITTEN if beams == 1 else min(NUM_WRITTEN, beams)  # a beam search returns one text per beam


def _resolve_scorer(writer: Responder | None, chooser: Responder | None, scorer: RankedBy | None) -> Scorer | None:
    """Return the scorer of a name; without a name, the chooser's if there are both parts."""
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
