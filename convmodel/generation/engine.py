"""Continuous batching: generate replies to many requests on one model; requests join and leave at any step."""

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from convmodel.errors import QueueFull
from convmodel.generation.adapters import AdapterWeights
from convmodel.generation.causal_lm import context_window, embedding_rows, reads_token_types
from convmodel.generation.chunk_groups import read_in_groups
from convmodel.generation.cuda_graphs import CUDAGraphRunner
from convmodel.generation.kv_cache import KVCache
from convmodel.generation.model_runner import ModelRunner
from convmodel.generation.ragged_attention import SequenceChunk
from convmodel.generation.request import NO_TYPE, CacheSlot, Finish, GenerationRequest, RequestState
from convmodel.generation.sampler import SequenceSampler, sample

WORTH_WAITING = 16
"""Minimum number of shared leading tokens for which a request waits until another request has read them."""


class Engine:
    """Engine that generates replies to many requests on one model, each the same as if it were generated alone.

    A request joins at the next step and leaves when its reply ends. Contexts are read in chunks, so that a long one
    does not delay the other requests. Keys and values stay in the cache until their slot is needed. A request that
    begins with the tokens of an older one, such as the next turn of a conversation, therefore reads only its new
    tokens. It reads all tokens if the slot of the older request was reused.

    An engine must not be shared between threads, except for `RequestState.cancel`.

    Args:
        model: model in evaluation mode that `engine_support.supports_engine`. A GPT-2 is read with or without token
            types, as each request specifies.
        max_running, max_waiting: maximum numbers of requests; requests beyond `max_running` wait. None for no limit.
        max_kept: number of cache slots, including those of running requests, which bounds the memory (see `KVCache`).
        read_per_step: maximum number of context tokens that are read in a step.
        packed: whether to store a second, faster copy of the weights on a CPU. The weights must not be changed
            afterwards; see `products.make_product`.
        graphs: whether single tokens are read with CUDA graphs; by default on a GPU, if there are no adapters.
        adapters: LoRA adapters of the model; `GenerationRequest.adapter` is an index into them. See `LayerProducts`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_running: int = 32,
        max_kept: int | None = None,
        max_waiting: int | None = 1024,
        read_per_step: int = 256,
        packed: bool = False,
        graphs: bool | None = None,
        adapters: Sequence[AdapterWeights] = (),
    ) -> None:
        max_kept = max_running if max_kept is None else max_kept
        if not 1 <= max_running <= max_kept or (max_waiting or 0) < 0 or read_per_step < 1:
            raise ValueError(
                f"{max_running=}, {max_kept=}, {max_waiting=}, {read_per_step=}; allowed are "
                "1 <= max_running <= max_kept, max_waiting >= 0 and read_per_step >= 1"
            )
        self._runner = ModelRunner(model, packed=packed, adapters=adapters)
        self._adapters = range(len(adapters))
        self._n_positions = context_window(model.config)
        self._cache = KVCache(max_kept, self._n_positions, model.device)
        use_graphs = self._cache.device.type == "cuda" and not adapters if graphs is None else graphs
        if use_graphs and adapters:
            raise ValueError("graphs=True with adapters, whose rows differ in each step; leave graphs out")
        self._graphs = CUDAGraphRunner(self._runner, self._cache) if use_graphs else None
        self._vocab_size = embedding_rows(model)
        self._reads_types = reads_token_types(model)
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._read_per_step = read_per_step
        self._waiting: deque[RequestState] = deque()
        self._slots = [CacheSlot(index) for index in range(max_kept)]
        self._running: list[CacheSlot] = []
        self._steps = 0
        self.tokens_read = 0  # of contexts and of replies
        self.context_tokens_read = 0
        self.context_tokens_cached = 0
        self.reply_tokens_written = 0

    def submit(self, request: GenerationRequest) -> RequestState:
        """Queue a request.

        Raises:
            QueueFull: when too many requests are waiting.
            ValueError: when ids and types do not match each other, or ids or options do not match the model.
        """
        count = len(request.input_ids)
        if count != len(request.types) or not 1 <= count < self._n_positions:
            raise ValueError(
                f"{count} ids and {len(request.types)} types; there must be as many of both, "
                f"from 1 to {self._n_positions - 1}"
            )
        if request.token_type_ids is not None and not self._reads_types:
            raise ValueError("token_type_ids: this model reads none; leave them out")
        if request.adapter is not None and request.adapter not in self._adapters:
            raise ValueError(f"adapter={request.adapter}; the engine has {len(self._adapters)}, from 0")
        if self._max_waiting is not None and len(self._waiting) >= self._max_waiting:
            raise QueueFull(f"{len(self._waiting)} requests are waiting, which is the maximum; try again later")
        sampler = SequenceSampler(request, self._cache.device)
        if sampler.penalizes:  # fail here, for this request alone, if its options name ids that the model lacks
            sampler.penalize(torch.zeros(1, self._vocab_size, device=self._cache.device))
        self._waiting.append(RequestState(request, sampler))
        return self._waiting[-1]

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return len(self._waiting)

    @property
    def running(self) -> list[RequestState]:
        """The requests that have a slot."""
        return [slot.state for slot in self._running if slot.state is not None]

    @property
    def busy(self) -> bool:
        """Whether any request is waiting or running."""
        return bool(self._waiting or self._running)

    def run(self, requests: Iterable[GenerationRequest]) -> list[RequestState]:
        """Generate replies to all requests, and return when the last one is finished."""
        states = []
        for request in requests:
            while self._max_waiting is not None and len(self._waiting) >= max(self._max_waiting, 1):
                self.step()
            states.append(self.submit(request))
        while any(state.finish is None for state in states):
            self.step()
        return states

    def step(self) -> list[RequestState]:
        """Read one token of each reply and chunks of new contexts; return requests that got a token or are finished."""
        self._steps += 1
        changed = self._remove_cancelled()
        self._admit()
        if self._running:
            with self._runner.limited_threads():
                changed += self._read_and_reply()
            self._running = [slot for slot in self._running if slot.state is not None]
        return changed

    def _read_and_reply(self) -> list[RequestState]:
        """Read the next tokens of all running requests; return those that got a token."""
        slots, chunks = self._next_chunks()
        logits = self._read(chunks)
        for slot, chunk in zip(slots, chunks, strict=True):
            count = len(chunk.input_ids)
            slot.ids.extend(chunk.input_ids)
            slot.types.extend(slot.pending_types[:count])
            slot.pending_ids = slot.pending_ids[count:]
            slot.pending_types = slot.pending_types[count:]
            slot.last_used = self._steps
            self.tokens_read += count
            self.context_tokens_read += 0 if slot.replying else count
        ready = [slot for slot, chunk in zip(slots, chunks, strict=True) if chunk.needs_logits]
        return self._reply(ready, logits) if ready else []

    def _read(self, chunks: Sequence[SequenceChunk]) -> Tensor:
        """Read chunks, in few calls of the model; return the (W, V) logits after the W chunks with `needs_logits`."""
        return read_in_groups(chunks, lambda chunk: (self._by_graph(chunk), chunk.token_type_ids is None), self._call)

    def _by_graph(self, chunk: SequenceChunk) -> bool:
        return self._graphs is not None and len(chunk.input_ids) == 1

    def _call(self, chunks: Sequence[SequenceChunk]) -> Tensor:
        """Read chunks of one group in one call."""
        if self._graphs is not None and self._by_graph(chunks[0]):
            return self._graphs.read(chunks)
        return self._runner.read(chunks, self._cache)

    def _reply(self, slots: Sequence[CacheSlot], logits: Tensor) -> list[RequestState]:
        """Choose the next token of the slots that have no pending tokens."""
        states = [slot.state for slot in slots if slot.state is not None]
        tokens = sample([state.sampler for state in states if state.sampler is not None], logits)
        scored = [index for index, state in enumerate(states) if state.request.scored]
        if scored:
            chosen = torch.tensor([tokens[index] for index in scored], device=logits.device)
            scores = logits[scored].log_softmax(-1).gather(1, chosen[:, None])[:, 0].tolist()
            for index, nats in zip(scored, scores, strict=True):
                states[index].log_likelihood += nats
        return [self._append(slot, token) for slot, token in zip(slots, tokens, strict=True)]

    def _append(self, slot: CacheSlot, token: int) -> RequestState:
        """Append the next token to a slot's reply."""
        state = slot.state
        assert state is not None
        request = state.request
        if token in request.config.eos_token_id:
            self._finish(slot, "end")
            return state
        state.tokens.append(token)
        self.reply_tokens_written += 1
        if request.stop is not None and request.stop(token):
            self._finish(slot, "stop")
        elif len(state.tokens) >= request.config.max_new_tokens or len(slot.ids) >= self._n_positions:
            self._finish(slot, "length")
        else:
            slot.pending_ids = [token]
            slot.pending_types = [NO_TYPE if request.token_type_ids is None else request.token_type_ids[-1]]
        return state

    @staticmethod
    def _finish(slot: CacheSlot, reason: Finish) -> None:
        assert slot.state is not None
        slot.state.finish = reason
        slot.state.sampler = None
        slot.state = None
        slot.pending_ids = []
        slot.pending_types = []

    def _remove_cancelled(self) -> list[RequestState]:
        removed = [state for state in self._waiting if state.cancelled]
        for state in removed:
            state.finish = "cancelled"
            self._waiting.remove(state)
        for slot in self._running:
            if slot.state is not None and slot.state.cancelled:
                removed.append(slot.state)
                self._finish(slot, "cancelled")
        self._running = [slot for slot in self._running if slot.state is not None]
        return removed

    def _admit(self) -> None:
        """Give slots to the requests that have waited longest."""
        while self._waiting and len(self._running) < self._max_running:
            request = self._waiting[0].request
            slot = self._slot_for(request)
            if slot is None:
                return
            state = slot.state = self._waiting.popleft()
            slot.adapter = request.adapter
            state.cached = len(slot.ids)
            self.context_tokens_cached += state.cached
            slot.pending_ids = list(request.input_ids[state.cached :])
            slot.pending_types = list(request.types[state.cached :])
            self._running.append(slot)

    def _slot_for(self, request: GenerationRequest) -> CacheSlot | None:
        """Return the slot for a request; None if the request has to wait.

        It is the slot that shares the most leading tokens with the request, or an idle slot into which they are copied.
        The request waits if a slot that is still reading its context will soon share many more tokens.
        """
        shared = [slot.shared_length(request) for slot in self._slots]
        source = max(self._slots, key=lambda slot: (shared[slot.index], slot.state is None))
        count = shared[source.index]
        reading = [slot for slot in self._running if slot.state is not None and not slot.replying]
        if any(slot.future_shared_length(request) >= count + WORTH_WAITING for slot in reading):
            return None  # several replies to one context read it once
        if source.state is None and count == len(source.ids):
            return source  # the request continues the conversation in this slot
        idle = [slot for slot in self._slots if slot.state is None]
        target = min(idle, key=lambda slot: (slot is source, slot.last_used))
        if target is not source:
            self._cache.copy(source.index, target.index, count)
        target.ids = source.ids[:count]
        target.types = source.types[:count]
        return target

    def _next_chunks(self) -> tuple[list[CacheSlot], list[SequenceChunk]]:
        """Return the slots and chunks to read in this step: the next token of each reply, and parts of contexts.

        At most `read_per_step` context tokens are read. Chunks with the same adapter are adjacent.
        """
        pairs: list[tuple[CacheSlot, SequenceChunk]] = []
        budget = self._read_per_step
        for slot in self._running:
            count = len(slot.pending_ids) if slot.replying else min(budget, len(slot.pending_ids))
            if count:
                budget -= 0 if slot.replying else count
                types = None if slot.pending_types[0] == NO_TYPE else slot.pending_types[:count]
                needs_logits = count == len(slot.pending_ids)
                ids = slot.pending_ids[:count]
                chunk = SequenceChunk(slot.index, len(slot.ids), ids, types, needs_logits, slot.adapter)
                pairs.append((slot, chunk))
        pairs.sort(key=lambda pair: -1 if pair[0].adapter is None else pair[0].adapter)
        return [slot for slot, _ in pairs], [chunk for _, chunk in pairs]
