"""What a row of the cache has read, and how much of it another request can go on from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from convmodel.generation.request import GenerationRequest, RequestState
from convmodel.generation.sampler import SequenceSampler


@dataclass(eq=False)
class CacheSlot:
    """A row of the cache: what it has read, what it is yet to read, and for whom."""

    number: int
    ids: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    pending_ids: list[int] = field(default_factory=list)
    pending_types: list[int] = field(default_factory=list)
    used: int = 0
    ticket: RequestState | None = None
    decoder: SequenceSampler | None = None

    @property
    def replying(self) -> bool:
        """Whether its context was read, and tokens come."""
        return self.ticket is not None and bool(self.ticket.tokens)

    def shared_with(self, request: GenerationRequest) -> int:
        """How many of the first tokens are those of a request; its last token is always read anew, for its logits."""
        most = min(len(self.ids), len(request.input_ids) - 1)
        return min(_common(self.ids, request.input_ids, most), _common(self.types, request.types, most))

    def will_share_with(self, request: GenerationRequest) -> int:
        """The same for when everything that is yet to read of this row's own context will have been read."""
        future = CacheSlot(self.number, self.ids + self.pending_ids, self.types + self.pending_types)
        return future.shared_with(request)


def _common(one: Sequence[int], other: Sequence[int], most: int, step: int = 64) -> int:
    """How many of the first `most` elements are equal."""
    for start in range(0, most, step):
        stop = min(start + step, most)
        if list(one[start:stop]) != list(other[start:stop]):
            return next(place for place in range(start, stop) if one[place] != other[place])
    return most
