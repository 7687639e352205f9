"""A contender and a model in, tokens per second out: each contender of `benchmarks.writers` in a process of its own."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Contexts = list[list[int]]


@dataclass(frozen=True)
class Job:
    """What a contender is given.

    Args:
        contender: ours, generate, continuous or llama.cpp.
        model: a folder; for llama.cpp a GGUF file.
        dtype: of ours.
        contexts: ids of contexts, one for each stream.
        streams: numbers of contexts that are replied to at once.
        tokens: of each reply, exactly.
        talk: ids of a conversation up to its last turn but one, and of the last turn.
        threads: for the computation.
    """

    contender: str
    model: str
    dtype: str
    contexts: Contexts
    streams: list[int]
    tokens: int
    talk: list[list[int]]
    threads: int


class Contender(Protocol):
    """One way of replying to contexts."""

    def new_engine(self) -> None:
        """Forget all contexts."""

    def reply(self, contexts: Sequence[Sequence[int]], tokens: int) -> int:
        """Reply to contexts, all at once if it can, with so many tokens each; return the number of all tokens."""


class Ours:
    """The engine, as a Writer runs it."""

    def __init__(self, job: Job) -> None:
        import torch

        from convmodel.models.conversation_model import ConversationModel

        torch.set_num_threads(job.threads)
        self._model = ConversationModel.from_pretrained(job.model, "cpu", job.dtype).hf_model
        self.new_engine()

    def new_engine(self) -> None:
        """Forget all contexts."""
        from convmodel.generation.engine import Engine

        self._engine = Engine(self._model, packed=True, max_running=32, max_waiting=None)

    def reply(self, contexts: Sequence[Sequence[int]], tokens: int) -> int:
        """Reply to all contexts at once."""
        from transformers import GenerationConfig

        from convmodel.generation.request import GenerationRequest

        config = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=[])
        requests = [GenerationRequest(list(ids), None, config) for ids in contexts]
        return sum(len(state.tokens) for state in self._engine.run(requests))


class Generate:
    """transformers' `generate`, one context after the other, as behind a lock."""

    def __init__(self, job: Job) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(job.threads)
        self._model = AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32).eval()

    def new_engine(self) -> None:
        """Nothing is kept."""

    def reply(self, contexts: Sequence[Sequence[int]], tokens: int) -> int:
        """Reply to each context."""
        import torch

        options: Any = {"do_sample": False, "max_new_tokens": tokens, "eos_token_id": None, "pad_token_id": 0}
        for ids in contexts:
            given = torch.tensor([list(ids)])
            self._model.generate(input_ids=given, attention_mask=torch.ones_like(given), **options)
        return tokens * len(contexts)


class Continuous(Generate):
    """transformers' continuous batching, which its server uses."""

    def reply(self, contexts: Sequence[Sequence[int]], tokens: int) -> int:
        """Reply to all contexts at once."""
        from transformers import GenerationConfig

        config = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=-1, pad_token_id=0)
        replies = self._model.generate_batch(inputs=[list(ids) for ids in contexts], generation_config=config)
        return sum(len(reply.generated_tokens) for reply in replies.values())


class LlamaCpp:
    """llama.cpp's own batches of sequences, by its Python binding."""

    def __init__(self, job: Job) -> None:
        import llama_cpp

        self._api: Any = llama_cpp
        llama_cpp.llama_backend_init()
        silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(silent, None)
        self._silent = silent
        self._model = llama_cpp.llama_model_load_from_file(job.model.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_seq_max = max(job.streams)
        longest = max(max(map(len, job.contexts)) + job.tokens, sum(map(len, job.talk)) + 40)
        options.n_ctx = options.n_seq_max * (longest + 8)
        options.n_batch = options.n_ubatch = 512
        options.n_threads = options.n_threads_batch = job.threads
        self._context = llama_cpp.llama_init_from_model(self._model, options)
        self._size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(512, 0, 1)
        self._read: list[int] = []

    def new_engine(self) -> None:
        """Forget all contexts."""
        self._api.llama_memory_clear(self._api.llama_get_memory(self._context), True)
        self._read = []

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Read tokens, given as id, position, sequence and whether logits are needed."""
        batch = self._batch
        for place, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[place] = token
            batch.pos[place] = position
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = sequence
            batch.logits[place] = wanted
        batch.n_tokens = len(rows)
        if self._api.llama_decode(self._context, batch):
            raise RuntimeError("llama.cpp could not read these tokens")

    def _likeliest(self, place: int) -> int:
        import numpy as np

        logits = self._api.llama_get_logits_ith(self._context, place)
        return int(np.ctypeslib.as_array(logits, (self._size,)).argmax())

    def reply(self, contexts: Sequence[Sequence[int]], tokens: int) -> int:
        """Reply to all contexts at once; a single one that begins like the last is continued."""
        kept = self._read if len(contexts) == 1 and self._read == list(contexts[0])[: len(self._read)] else []
        if not kept:
            self.new_engine()
        chosen: list[int] = []
        for sequence, ids in enumerate(contexts):
            rows = [(token, n, sequence, n + 1 == len(ids)) for n, token in enumerate(ids) if n >= len(kept)]
            for start in range(0, len(rows), 512):
                part = rows[start : start + 512]
                self._decode(part)
            chosen.append(self._likeliest(len(part) - 1))
        for step in range(tokens - 1):
            self._decode([(token, len(contexts[n]) + step, n, True) for n, token in enumerate(chosen)])
            chosen = [self._likeliest(n) for n in range(len(chosen))]
        self._read = list(contexts[0]) if len(contexts) == 1 and tokens == 1 else []
        return tokens * len(contexts)


CONTENDERS: dict[str, Callable[[Job], Contender]] = {
    "ours": Ours,
    "generate": Generate,
    "continuous": Continuous,
    "llama.cpp": LlamaCpp,
}


def measure(job: Job) -> dict[str, float]:
    """Return tokens per second by number of streams, and the seconds to the first token of the last turn of a talk."""
    contender = CONTENDERS[job.contender](job)
    found: dict[str, float] = {}
    contender.reply(job.contexts[:1], 2)  # warm up
    for count in job.streams:
        contender.new_engine()
        begin = time.perf_counter()
        tokens = contender.reply(job.contexts[:count], job.tokens)
        found[str(count)] = tokens / (time.perf_counter() - begin)
    if job.contender != "continuous":
        contender.new_engine()
        before, turn = job.talk
        contender.reply([before], 1)
        begin = time.perf_counter()
        contender.reply([[*before, *turn]], 1)
        found["first token"] = time.perf_counter() - begin
    return found


def main() -> None:
    """Run the contender of the job in the arguments."""
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(measure(job)), encoding="utf-8")


if __name__ == "__main__":
    main()
