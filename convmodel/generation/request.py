"""Requests to the engine, their state, the seeds of their replies, and the cache slots that serve them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import GenerationConfig

    from convmodel.generation.sampler import SequenceSampler

Finish = Literal["end", "stop", "length", "cancelled"]
"""The reason for the end of a reply: an end token, a stop string, a full length or window, or a cancellation."""

NO_TYPE = -1
"""Type of tokens that are read without types, so that the cache distinguishes them from tokens read with types."""

SEEDS = 2**63
"""Number of seeds: they are from 0 to `SEEDS - 1`."""


def derive_seed(*parts: int | str) -> int:
    """Return a seed derived from several values, the same on every machine; similar values give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for one reply to a context.

    Args:
        input_ids: token ids of the laid-out context: at least one, and fewer than the model's positions.
        token_type_ids: as many token types, the last of which is the type of the reply's tokens; None for a model
            without types.
        config: complete configuration, with only options that `options.engine_supports` accepts.
        seed: seed of this reply alone. The reply to a request with a seed does not depend on the other requests.
        stop: called with each token of the reply; returns whether the reply ends after it.
        scored: whether to compute the reply's log-likelihood.
        history_ids: token ids of each turn of the whole conversation, for the options of `penalties`.
        own_turn_ids: the subset of `history_ids` spoken by the replying side.
        prefix_ids: token ids of the text that the reply continues, if it is not a turn of its own.
        adapter: index of the engine's adapter that generates the reply; None for the model itself.
    """

    input_ids: Sequence[int]
    token_type_ids: Sequence[int] | None
    config: "GenerationConfig"
    seed: int | None = None
    stop: Callable[[int], bool] | None = None
    scored: bool = False
    history_ids: Sequence[Sequence[int]] = ()
    own_turn_ids: Sequence[Sequence[int]] = ()
    prefix_ids: Sequence[int] = ()
    adapter: int | None = None

    @property
    def types(self) -> Sequence[int]:
        """Token types, as many as ids; all `NO_TYPE` for a request without types."""
        return [NO_TYPE] * len(self.input_ids) if self.token_type_ids is None else self.token_type_ids


@dataclass(eq=False)
class RequestState:
    """The state of a queued, running or finished request.

    Args:
        sampler: sampler of the reply; None once it is finished.
        tokens: token ids of the reply so far, without the end token.
        finish: reason for the end of the reply; None until then.
        log_likelihood: log-likelihood of the tokens and the end token, if any, under the unmodified model, in nats; 0
            unless `scored`.
        cached: number of context tokens that were not read, because a cache slot held them.
    """

    request: GenerationRequest
    sampler: "SequenceSampler | None" = None
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    log_likelihood: float = 0.0
    cached: int = 0
    cancelled: bool = False

    @property
    def per_token(self) -> float:
        """`log_likelihood` divided by the number of tokens that it sums over."""
        return self.log_likelihood / max(1, len(self.tokens) + (self.finish == "end"))

    def cancel(self) -> None:
        """Cancel the request; its slot is free at the next step. Safe to call from any thread."""
        self.cancelled = True


@dataclass(eq=False)
class CacheSlot:
    """A slot of the KV cache: the tokens that it holds, those to read next (pending), and its request.

    Args:
        last_used: engine step in which the slot last read a token.
        adapter: index of the adapter with which its tokens were read; they cannot be reused with another
            adapter.
        state: the request that runs in the slot; None while the slot is idle.
    """

    index: int
    ids: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    pending_ids: list[int] = field(default_factory=list)
    pending_types: list[int] = field(default_factory=list)
    last_used: int = 0
    adapter: int | None = None
    state: RequestState | None = None

    @property
    def replying(self) -> bool:
        """Whether the context was read and tokens of the reply are being generated."""
        return self.state is not None and bool(self.state.tokens)

    def shared_length(self, request: GenerationRequest) -> int:
        """Return the number of cached leading tokens that a request can reuse, without the request's last token."""
        if self.adapter != request.adapter:
            return 0
        limit = min(len(self.ids), len(request.input_ids) - 1)
        return min(_common_length(self.ids, request.input_ids, limit), _common_length(self.types, request.types, limit))

    def future_shared_length(self, request: GenerationRequest) -> int:
        """Return the `shared_length` after this slot has read its pending tokens."""
        ids, types = self.ids + self.pending_ids, self.types + self.pending_types
        future = CacheSlot(self.index, ids, types, adapter=self.adapter)
        return future.shared_length(request)


def _common_length(first: Sequence[int], second: Sequence[int], limit: int, step: int = 64) -> int:
    """Return the number of leading elements in common, up to `limit`; compares slices of `step` elements for speed."""
    for start in range(0, limit, step):
        stop = min(start + step, limit)
        if list(first[start:stop]) != list(second[start:stop]):
            return next(index for index in range(start, stop) if first[index] != second[index])
    return limit
