"""Contexts of many people in, the candidates that reply best to them out: the Responder on a model that chooses."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from convmodel.data.conversation import check_turns
from convmodel.generation.seeds import SEEDS
from convmodel.models.rerankers import SelectorScorer
from convmodel.models.selection.selector import Selector
from convmodel.responders.candidate_pool import EncodedCandidates, ReadPool, Scored, SearchedPool, pool_of
from convmodel.responders.protocol import MAX_WAITING, Candidate, Load, Reply, Session
from convmodel.responders.ranking import (
    CHOOSE_AGAIN,
    DEFAULTS,
    DRAW_TEMPERATURE,
    NUM_CHOSEN,
    check_choosing,
    drop_none,
    rank_or_sample,
)
from convmodel.responders.worker_thread import ReplyFuture, SingleWorker


class Chooser:
    """Replies with the best of given candidates.

    Its options: `num_candidates`, how many candidates a reply holds (10); `allow_repeats`, whether what was said in the
    conversation may be chosen again (false, as long as there is anything else to say); `selection_temperature`: at 0 the
    best is the reply, above it is drawn among the `num_candidates` with the probabilities softmax(score /
    selection_temperature).

    Args:
        selector: of any kind.
        candidates: an index or a set that this selector has encoded; or texts, which are encoded now, or by a selector
            that reads context and candidate together, read with every context.
        options: used where a request does not say otherwise.
        max_waiting: how many requests may be open.

    Raises:
        TypeError: for an index with a selector that encodes nothing.
        ValueError: when there are no candidates.

    Example:
        >>> with Chooser(Selector.from_pretrained("selector"), ["I am fine.", "At nine."]) as chooser:
        ...     print(chooser.start(["How are you?"]).reply().text)
    """

    def __init__(
        self,
        selector: Selector,
        candidates: EncodedCandidates | SearchedPool | ReadPool | Sequence[str],
        *,
        options: Mapping[str, Any] | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._defaults = {**DEFAULTS, **drop_none(options or {})}
        self.check_options(self._defaults)
        self._selector, self._pool = selector, pool_of(selector, candidates)
        self._thread = SingleWorker("chooser", max_waiting)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        candidates: Sequence[str],
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "auto",
        **options: Any,
    ) -> "Chooser":
        """Loads a selector as `Selector.from_pretrained`; `options` are those of `Chooser`."""
        return cls(Selector.from_pretrained(name_or_path, device, dtype), candidates, **options)

    def __enter__(self) -> "Chooser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._pool)

    @property
    def scorer(self) -> SelectorScorer:
        """What chooses, as it ranks whatever else could be said."""
        return SelectorScorer(self._selector)

    @property
    def options(self) -> Mapping[str, Any]:
        """What is used where a request does not say otherwise."""
        return dict(self._defaults)

    @property
    def presets(self) -> Mapping[str, Mapping[str, Any]]:
        """There are none."""
        return {}

    @property
    def load(self) -> Load:
        """How busy it is; from any thread, at any moment."""
        return self._thread.load

    @property
    def searches(self) -> bool:
        """Whether there is anything to search, as there is."""
        return True

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raises ValueError, which names option, value, and what is allowed, for options that cannot be followed."""
        check_choosing(options)

    def start(
        self,
        context: Sequence[str],
        *,
        persona: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> ReplyFuture:
        """Begins to choose and returns at once; see `Responder.start`. Nothing of it is remembered.

        Raises:
            TypeError, ValueError: for turns or options that cannot be followed.
            QueueFull: when too many requests wait.
            RuntimeError: when the chooser was closed.
        """
        self.check_options(options or {})
        how = {**self._defaults, **drop_none(options or {})}
        turns, sentences = check_turns(context), check_turns(persona, what="persona sentence")
        if not how[DRAW_TEMPERATURE]:
            seed = None
        elif seed is None:
            seed = secrets.randbelow(SEEDS)
        return self._thread.begin(partial(self._choose, turns, sentences, how, seed, time.perf_counter()))

    def search(self, context: Sequence[str], persona: Sequence[str] = (), k: int = 10) -> tuple[Candidate, ...]:
        """The `k` best candidates, best first, whatever the options say of a draw; see `CandidateSearch.search`."""
        asked = {NUM_CHOSEN: k, DRAW_TEMPERATURE: 0.0}
        return self.start(context, persona=persona, options=asked).reply().candidates

    def close(self) -> None:
        """Fails what waits and ends the thread; twice is no error."""
        self._thread.close()

    # In the thread

    def _choose(
        self, context: Sequence[str], persona: Sequence[str], how: Mapping[str, Any], seed: int | None, began: float
    ) -> Reply:
        found = self._best(context, persona, how[NUM_CHOSEN], again=how[CHOOSE_AGAIN])
        candidates = [
            Candidate(self._pool.text(number), score, "chosen", number, self._pool.metadata(number))
            for number, score in found
        ]
        seconds = time.perf_counter() - began
        return Reply(
            rank_or_sample(candidates, temperature=how[DRAW_TEMPERATURE], seed=seed),
            seconds=seconds,
            first_seconds=seconds,
            seed=seed,
            ranked_by=self._selector.kind,
        )

    def _best(self, context: Sequence[str], persona: Sequence[str], k: int, *, again: bool) -> Scored:
        """The k best candidates, no text twice, and none that was said while there are others."""
        said = set() if again else set(map(_bare, context))
        asked = k + len(said)
        while True:
            different: dict[str, tuple[int, float]] = {}
            for number, score in self._pool.best(context, persona, min(asked, len(self._pool))):
                different.setdefault(self._pool.text(number).strip(), (number, score))
            unsaid = [scored for text, scored in different.items() if _bare(text) not in said]
            if len(unsaid) >= k or asked >= len(self._pool):
                return (unsaid or list(different.values()))[:k]
            asked *= 2


def _bare(text: str) -> str:
    """What two texts share that say the same."""
    return " ".join(text.split()).casefold()
