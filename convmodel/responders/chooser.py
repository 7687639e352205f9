"""`Chooser`: a responder that selects the reply among given candidates with a `Selector`."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Unpack

import torch

from convmodel.data.conversation import check_turns
from convmodel.generation.request import SEEDS
from convmodel.models.rerankers import SelectorScorer
from convmodel.models.selection.calibration import COMPETITORS
from convmodel.models.selection.fused_selector import FusedSelector
from convmodel.models.selection.selector import Selector
from convmodel.responders.candidate_pool import EncodedCandidates, Pool, ScoredNumbers, make_pool
from convmodel.responders.handles import ReplyFuture
from convmodel.responders.protocol import FALLBACK, MAX_WAITING, Candidate, ClosesOnExit, Load, Names, Reply, Session
from convmodel.responders.ranking import (
    DEFAULTS,
    MIN_SCORE,
    SELECTION_TEMPERATURE,
    check_options,
    drop_none,
    rank_or_sample,
)
from convmodel.responders.worker_thread import SingleWorker
from convmodel.tokens.speakers import sides_of


class Chooser(ClosesOnExit):
    """Responder that replies with the best of given candidates.

    Its options are `num_candidates`, `allow_repeats` and `selection_temperature`. A reply has the `num_candidates`
    (default 10) best candidates. A text of the conversation is not selected again unless `allow_repeats` is true
    or all candidates were used. The default of `allow_repeats` is false, but true for a fused selector that reads only
    the last turn, because its weights were learned from contexts of a single turn. With a
    `selection_temperature` of 0 (default), the best candidate is the reply. Above 0, the reply is sampled among the
    `num_candidates` with the probabilities softmax(score / selection_temperature).

    With the option `min_score`, the chooser replies only if the best candidate is correct with at least this
    probability; "auto" is the threshold that was proposed when the selector was calibrated
    (`python -m convmodel fuse`). Otherwise, the reply is `fallback`, followed by the candidates.

    Args:
        selector: the selector that scores the candidates.
        candidates: an index or a set of candidates encoded by this selector; or texts. Texts are encoded now, or read
            together with each context if the selector does so.
        options: default options of a request.
        fallback: reply if no candidate reaches `min_score`.
        max_waiting: maximum number of open requests; None for no limit.

    Raises:
        TypeError: for an index with a selector that does not encode candidates.
        ValueError: when there are no candidates.

    Example:
        >>> with Chooser(Selector.from_pretrained("selector"), ["I am fine.", "At nine."]) as chooser:
        ...     print(chooser.start(["How are you?"]).result().text)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    searches = True

    def __init__(
        self,
        selector: Selector,
        candidates: EncodedCandidates | Pool | Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        fallback: str = FALLBACK,
        max_waiting: int | None = MAX_WAITING,
    ) -> None:
        [self.fallback] = check_turns([fallback], what="fallback")
        fusion = selector.fusion if isinstance(selector, FusedSelector) else None
        self._calibration = None if fusion is None else fusion.calibration
        defaults = {**DEFAULTS, "allow_repeats": fusion is not None and fusion.last_turn_only}
        self.options: Mapping[str, Any] = MappingProxyType({**defaults, **drop_none(options or {})})
        self.check_options(self.options)
        self.scorer = SelectorScorer(selector)
        """Scorer of any texts with the selector."""
        self._selector = selector
        self._pool = make_pool(selector, candidates)
        self._worker = SingleWorker("chooser", max_waiting)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        candidates: Sequence[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        fusion: bool = True,
        **options: Any,
    ) -> "Chooser":
        """Load the selector by `Selector.from_pretrained`. `options` are further arguments of the class."""
        return cls(Selector.from_pretrained(name_or_path, device, dtype, fusion=fusion), candidates, **options)

    def __len__(self) -> int:
        return len(self._pool)

    @property
    def load(self) -> Load:
        return self._worker.load

    def check_options(self, options: Mapping[str, Any]) -> None:
        check_options(options)
        if options.get(MIN_SCORE) and self._calibration is None:
            raise ValueError(
                f"min_score={options[MIN_SCORE]!r}: the selector has no calibration, or was loaded without its "
                "fusion.json; make one (python -m convmodel fuse --model DIR --data FILE), or leave min_score out"
            )

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
        **names: Unpack[Names],
    ) -> ReplyFuture:
        """Start a reply and return at once; see `Responder.start`. The session is not used."""
        self.check_options(options or {})
        merged = {**self.options, **drop_none(options or {})}
        turns = sides_of(context, **names)
        sentences = check_turns(persona, what="persona sentence")
        if not merged[SELECTION_TEMPERATURE]:
            seed = None
        elif seed is None:
            seed = secrets.randbelow(SEEDS)
        return self._worker.submit(partial(self._select, turns, sentences, merged, seed, time.perf_counter()))

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> tuple[Candidate, ...]:
        """Return the `k` best candidates, best first, without sampling; see `CandidateSearch.search`."""
        options = {"num_candidates": k, SELECTION_TEMPERATURE: 0.0, MIN_SCORE: 0.0}
        return self.start(context, persona=persona, options=options).result().candidates

    def close(self) -> None:
        self._worker.close()

    # Called in the worker thread

    def _select(
        self,
        context: Sequence[str],
        persona: Sequence[str],
        options: Mapping[str, Any],
        seed: int | None,
        started_at: float,
    ) -> Reply:
        number = options["num_candidates"]
        searched = number if self._calibration is None else max(number, COMPETITORS)
        best = self._best(context, persona, searched, allow_repeats=options["allow_repeats"])
        confidence = None if self._calibration is None else self._calibration.probability([score for _, score in best])
        best = best[:number]
        parts = self._pool.parts(context, persona, [number for number, _ in best])
        candidates = [
            Candidate(self._pool.text(number), score, "chosen", number, self._pool.metadata(number), scores=scores)
            for (number, score), scores in zip(best, parts, strict=True)
        ]
        ranked = rank_or_sample(candidates, temperature=options[SELECTION_TEMPERATURE], seed=seed)
        threshold = self._threshold(options[MIN_SCORE])
        if threshold is not None and confidence is not None and confidence < threshold:
            ranked = (Candidate(self.fallback, source="fallback"), *ranked)
        seconds = time.perf_counter() - started_at
        return Reply(
            ranked,
            seconds=seconds,
            first_seconds=seconds,
            seed=seed,
            ranked_by=self._selector.kind,
            confidence=confidence,
            min_score=threshold,
        )

    def _threshold(self, min_score: float | Literal["auto"]) -> float | None:
        """Return the smallest probability of a reply; None if `min_score` is off."""
        if min_score == "auto" and self._calibration is not None:
            return self._calibration.threshold
        return float(min_score) or None

    def _best(self, context: Sequence[str], persona: Sequence[str], k: int, *, allow_repeats: bool) -> ScoredNumbers:
        """Return the k best candidates with distinct texts.

        Without `allow_repeats`, texts of the context are left out, unless no others remain.
        """
        used = set() if allow_repeats else set(map(_normalize, context))
        searched = k + len(used)
        while True:
            distinct: dict[str, tuple[int, float]] = {}
            for number, score in self._pool.best(context, persona, min(searched, len(self._pool))):
                distinct.setdefault(self._pool.text(number).strip(), (number, score))
            unused = [scored for text, scored in distinct.items() if _normalize(text) not in used]
            if len(unused) >= k or searched >= len(self._pool):
                return (unused or list(distinct.values()))[:k]
            searched *= 2


def _normalize(text: str) -> str:
    """Return a text with single spaces and folded case, so that repeated texts compare equal."""
    return " ".join(text.split()).casefold()
