"""Requests in, their replies' tokens out: many conversations at once on one model, joining and leaving at any step."""

from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from convmodel.errors import QueueFull
from convmodel.generation.cuda_graphs import CUDAGraphRunner
from convmodel.generation.kv_cache import CacheSlot
from convmodel.generation.model_runner import KVCache, ModelRunner, SequenceChunk
from convmodel.generation.request import NO_TYPE, Finish, GenerationRequest, RequestState
from convmodel.generation.sampler import SequenceSampler, sample

WORTH_WAITING = 16
"""Tokens that another reply is just reading, from which on waiting for them is better than reading them too."""


class Engine:
    """Replies to many requests on one model, each exactly as it would be replied to alone.

    A request joins at the next step and leaves when its turn ends. Contexts are read in pieces, so that a long one
    holds nobody up. What was read stays until its row is needed: a request that begins as an older one did, as the
    next turn of a conversation does, only reads what is new, and one whose row is gone is read again.

    Not to be shared between threads, but for `RequestState.cancel`.

    Args:
        model: in evaluation mode. GPT-2, read with token types or without, as each request says.
        max_running: requests that are replied to at once; the others wait.
        max_kept: rows of the cache, running ones included, which bounds its memory (see `KVCache`).
        max_waiting: requests that wait at most.
        read_per_step: tokens of contexts that are read in a step at most.
        packed: see `products.product`: quicker on a CPU, for a model whose weights do not change any more.
        graphs: whether single tokens are read as CUDA graphs; on a GPU, when left out.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        *,
        max_running: int = 32,
        max_kept: int | None = None,
        max_waiting: int = 1024,
        read_per_step: int = 256,
        packed: bool = False,
        graphs: bool | None = None,
    ) -> None:
        kept = max_running if max_kept is None else max_kept
        if not 1 <= max_running <= kept or max_waiting < 0 or read_per_step < 1:
            raise ValueError(
                f"max_running={max_running}, max_kept={kept}, max_waiting={max_waiting}, "
                f"read_per_step={read_per_step}; at least 1 must run, as many be kept as run, 0 wait and 1 be read"
            )
        self._network, self._cache = ModelRunner(model, packed=packed), KVCache(model, kept)
        on_gpu = self._cache.device.type == "cuda"
        self._graphs = CUDAGraphRunner(self._network, self._cache) if (on_gpu if graphs is None else graphs) else None
        self._positions = int(model.config.n_positions)
        self._vocabulary = len(model.transformer.wte.weight)
        self._max_running, self._max_waiting, self._read_per_step = max_running, max_waiting, read_per_step
        self._waiting: deque[tuple[RequestState, SequenceSampler]] = deque()
        self._rows = [CacheSlot(number) for number in range(kept)]
        self._running: list[CacheSlot] = []
        self._clock = 0
        self.tokens_read = 0
        """All that went through the model: of contexts, and of replies."""
        self.context_tokens_read = self.context_tokens_cached = self.reply_tokens_written = 0

    def submit(self, request: GenerationRequest) -> RequestState:
        """Takes a request.

        Raises:
            QueueFull: when too many are waiting.
            ValueError: when ids and types do not fit each other or the model, or options the model.
        """
        count = len(request.input_ids)
        if count != len(request.types) or not 1 <= count < self._positions:
            raise ValueError(
                f"{count} ids and {len(request.types)} types; there must be as many of both, "
                f"from 1 to {self._positions - 1}"
            )
        if len(self._waiting) >= self._max_waiting:
            raise QueueFull(f"{len(self._waiting)} requests are waiting, as many as are taken; try again later")
        decoder = SequenceSampler(
            request.config,
            request.input_ids,
            request.seed,
            self._cache.device,
            turns=request.history_ids,
            said=request.own_turn_ids,
            begun=request.prefix_ids,
        )
        if decoder.penalizes:  # tried once, so that who asks is told of ids that the model has not, and nobody else
            decoder.penalize(torch.zeros(1, self._vocabulary, device=self._cache.device))
        ticket = RequestState(request)
        self._waiting.append((ticket, decoder))
        return ticket

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting)

    @property
    def running(self) -> list[RequestState]:
        """The requests that have a place."""
        return [row.ticket for row in self._running if row.ticket is not None]

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._running)

    def run(self, requests: Iterable[GenerationRequest]) -> list[RequestState]:
        """Replies to all of them and returns when the last is over."""
        tickets = []
        for request in requests:
            while len(self._waiting) >= max(self._max_waiting, 1):
                self.step()
            tickets.append(self.submit(request))
        while any(ticket.finish is None for ticket in tickets):
            self.step()
        return tickets

    def step(self) -> list[RequestState]:
        """Reads one token for each reply that is being written, and pieces of new contexts.

        Returns:
            The tickets that got a token or are over.
        """
        self._clock += 1
        changed = self._leave_cancelled()
        self._admit()
        if not self._running:
            return changed
        rows, pieces = self._pieces()
        logits = self._read(pieces)
        for row, piece in zip(rows, pieces, strict=True):
            count = len(piece.input_ids)
            row.ids.extend(piece.input_ids)
            row.types.extend(row.pending_types[:count])
            row.pending_ids, row.pending_types = row.pending_ids[count:], row.pending_types[count:]
            row.used = self._clock
            self.tokens_read += count
            self.context_tokens_read += 0 if row.replying else count
        if len(logits):
            changed += self._reply([row for row, piece in zip(rows, pieces, strict=True) if piece.wanted], logits)
        self._running = [row for row in self._running if row.ticket is not None]
        return changed

    def _read(self, pieces: Sequence[SequenceChunk]) -> Tensor:
        """(W, V) logits after the W pieces where they are wanted: those that are read alike together."""
        alike: dict[tuple[bool, bool], list[int]] = {}
        for number, piece in enumerate(pieces):
            by_graph = self._graphs is not None and len(piece.input_ids) == 1
            alike.setdefault((by_graph, piece.token_type_ids is None), []).append(number)
        read = []
        for (by_graph, _), numbers in alike.items():
            chosen = [pieces[number] for number in numbers]
            if by_graph and self._graphs is not None:
                read.append(self._graphs.read(chosen))
            else:
                read.append(self._network.read(chosen, self._cache))
        if len(read) == 1:
            return read[0]
        order = [number for numbers in alike.values() for number in numbers if pieces[number].wanted]
        return torch.cat(read)[torch.tensor(order, dtype=torch.long, device=read[0].device).argsort()]

    def _reply(self, rows: Sequence[CacheSlot], logits: Tensor) -> list[RequestState]:
        """Chooses the next token of rows that have read everything."""
        tokens = sample([row.decoder for row in rows if row.decoder is not None], logits)
        scored = [number for number, row in enumerate(rows) if row.ticket is not None and row.ticket.request.scored]
        if scored:
            chosen = torch.tensor([tokens[number] for number in scored], device=logits.device)
            found = logits[scored].log_softmax(-1).gather(1, chosen[:, None])[:, 0].tolist()
            for number, nats in zip(scored, found, strict=True):
                ticket = rows[number].ticket
                assert ticket is not None
                ticket.log_likelihood += nats
        return [self._take(row, token) for row, token in zip(rows, tokens, strict=True)]

    def _take(self, row: CacheSlot, token: int) -> RequestState:
        """Adds the next token to a row's reply."""
        ticket = row.ticket
        assert ticket is not None
        config, stop = ticket.request.config, ticket.request.stop
        if token in config.eos_token_id:
            self._finish(row, "end")
            return ticket
        ticket.tokens.append(token)
        self.reply_tokens_written += 1
        if stop is not None and stop(token):
            self._finish(row, "stop")
        elif len(ticket.tokens) >= config.max_new_tokens or len(row.ids) >= self._positions:
            self._finish(row, "length")
        else:
            types = ticket.request.token_type_ids
            row.pending_ids, row.pending_types = [token], [NO_TYPE if types is None else types[-1]]
        return ticket

    @staticmethod
    def _finish(row: CacheSlot, why: Finish) -> None:
        assert row.ticket is not None
        row.ticket.finish = why
        row.ticket = row.decoder = None
        row.pending_ids, row.pending_types = [], []

    def _leave_cancelled(self) -> list[RequestState]:
        left = [ticket for ticket, _ in self._waiting if ticket.cancelled]
        if left:
            self._waiting = deque(each for each in self._waiting if not each[0].cancelled)
        for ticket in left:
            ticket.finish = "cancelled"
        for row in self._running:
            if row.ticket is not None and row.ticket.cancelled:
                left.append(row.ticket)
                self._finish(row, "cancelled")
        self._running = [row for row in self._running if row.ticket is not None]
        return left

    def _admit(self) -> None:
        """Gives places to those who wait longest."""
        while self._waiting and len(self._running) < self._max_running:
            request = self._waiting[0][0].request
            row = self._row_for(request)
            if row is None:
                return
            row.ticket, row.decoder = self._waiting.popleft()
            row.ticket.cached = read = len(row.ids)
            self.context_tokens_cached += read
            row.pending_ids, row.pending_types = list(request.input_ids[read:]), list(request.types[read:])
            self._running.append(row)

    def _row_for(self, request: GenerationRequest) -> CacheSlot | None:
        """A row that holds as much of the request's beginning as any row does; None while waiting gives more."""
        shared = [row.shared_with(request) for row in self._rows]
        source = max(self._rows, key=lambda row: (shared[row.number], row.ticket is None))
        count = shared[source.number]
        reading = [row for row in self._running if row.ticket is not None and not row.replying]
        if any(row.will_share_with(request) >= count + WORTH_WAITING for row in reading):
            return None  # several replies to one context read it once
        if source.ticket is None and count == len(source.ids):
            return source  # the conversation that it holds goes on
        idle = [row for row in self._rows if row.ticket is None]
        target = min(idle, key=lambda row: (row is source, row.used))
        if target is not source:
            self._cache.copy(source.number, target.number, count)
        target.ids, target.types = source.ids[:count], source.types[:count]
        return target

    def _pieces(self) -> tuple[list[CacheSlot], list[SequenceChunk]]:
        """What is read in this step: every token that a reply waits for, and of contexts as much as fits."""
        rows, pieces, left = [], [], self._read_per_step
        for row in self._running:
            count = len(row.pending_ids) if row.replying else min(left, len(row.pending_ids))
            if not count:
                continue
            left -= 0 if row.replying else count
            rows.append(row)
            types = None if row.pending_types[0] == NO_TYPE else row.pending_types[:count]
            wanted = count == len(row.pending_ids)
            pieces.append(SequenceChunk(row.number, len(row.ids), row.pending_ids[:count], types, wanted))
        return rows, pieces
