"""Requests to the engine, and their state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import GenerationConfig


Finish = Literal["end", "stop", "length", "cancelled"]
"""The reason for the end of a reply: an end token, a stop string, a full length or window, or a cancellation."""

NO_TYPE = -1
"""Type of tokens that are read without types, so that the cache distinguishes them from tokens read with types."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request for one reply to a context.

    Args:
        input_ids: token ids of the laid-out context: at least one, and fewer than the model's positions.
        token_type_ids: as many token types, the last of which is the type of the reply's tokens; None for a model
            without types.
        config: complete configuration, with only options that `sampler.engine_supports` accepts.
        seed: seed of this reply alone. The same request with the same seed gives the same reply beside any others.
        stop: called with each token of the reply; returns whether the reply ends after it.
        scored: whether to compute the reply's log-likelihood.
        history_ids: token ids of each turn of the whole conversation, for the options of `penalties`.
        own_turn_ids: the subset of `history_ids` spoken by the replying side.
        prefix_ids: token ids of the text that the reply continues, if it is not a turn of its own.
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

    @property
    def types(self) -> Sequence[int]:
        """As many types as ids; `NO_TYPE` if there are none."""
        return [NO_TYPE] * len(self.input_ids) if self.token_type_ids is None else self.token_type_ids


@dataclass(eq=False)
class RequestState:
    """The state of a queued, running or finished request.

    Args:
        request: the request.
        tokens: token ids of the reply so far, without the end token.
        finish: reason for the end of the reply; None until then.
        log_likelihood: log-likelihood of the tokens and the end token, if any, under the unmodified model, in nats; 0
            unless `scored`.
        cached: number of context tokens that were not read, because a cache slot held them.
        cancelled: whether the request was cancelled.
    """

    request: GenerationRequest
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    log_likelihood: float = 0.0
    cached: int = 0
    cancelled: bool = False

    @property
    def per_token(self) -> float:
        """`log_likelihood` divided by the number of its tokens."""
        return self.log_likelihood / max(1, len(self.tokens) + (self.finish == "end"))

    def cancel(self) -> None:
        """Cancel the request; its slot is free at the next step. Safe to call from any thread."""
        self.cancelled = True
