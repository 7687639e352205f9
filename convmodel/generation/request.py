"""What the engine is asked for, and what became of it so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import GenerationConfig


Finish = Literal["end", "stop", "length", "cancelled"]
"""Why a reply is over: the turn ended, a stop string came, there was no room for more, or nobody wanted it."""

NO_TYPE = -1
"""Stands for the type of a token that is read without one: what was read with types is not what was read without."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A context that is to be replied to.

    Args:
        input_ids: the laid-out context, at least one token and at most one less than the model's positions.
        token_type_ids: as many types, the last of which the reply's tokens get; None for a model that reads none.
        config: whole: everything that matters is set, and nothing that `decoding.engine_supports` denies.
        seed: of this reply alone. The same request with the same seed gives the same reply in any company.
        stop: called with each token of the reply as it comes; the reply is over when it says so.
        scored: whether the reply's likelihood is wanted.
        turns: ids of each turn of the whole conversation, for options that look at what was said (`repetition`).
        said: those of them that the one who replies said.
        begun: ids of the text that the reply goes on, where it is no turn of its own.
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
        """As many types as ids; `NO_TYPE` where there are none."""
        return [NO_TYPE] * len(self.input_ids) if self.token_type_ids is None else self.token_type_ids


@dataclass(eq=False)
class RequestState:
    """A request that was taken, and what became of it so far.

    Args:
        request: as it was given.
        tokens: of the reply, as they come, without the one that ends it.
        finish: why it is over; None while it is not.
        log_likelihood: of the tokens and the end, if it ended, under the model itself, in nats; 0 unless `scored`.
        cached: how many of the context's tokens were not read anew, because a row of the cache held them.
    """

    request: GenerationRequest
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None
    log_likelihood: float = 0.0
    cached: int = 0
    cancelled: bool = False

    @property
    def per_token(self) -> float:
        """`log_likelihood` for each token that it counts."""
        return self.log_likelihood / max(1, len(self.tokens) + (self.finish == "end"))

    def cancel(self) -> None:
        """Gives the place up; it is free at the next step."""
        self.cancelled = True
