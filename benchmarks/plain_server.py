"""OpenAI's chat completions over HTTP in, streamed replies out: the handler that one writes first.

A FastAPI route that calls transformers' `generate` behind a lock. It is what `benchmarks/serving.py` compares with.
"""

import argparse
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio.to_thread
import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from transformers import AutoModelForCausalLM, TextIteratorStreamer

from convmodel.tokens.conversation_layout import ConversationSequence
from convmodel.tokens.conversation_tokenizer import ConversationTokenizer
from convmodel.tokens.separator_layout import SeparatorLayout

THREADS = 512


class OneAtATime:
    """A model that writes one reply at a time.

    Args:
        folder: of the model.
    """

    def __init__(self, folder: str) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._tokenizer = ConversationTokenizer.from_pretrained(folder)
        self._lock = threading.Lock()

    def stream(self, body: dict[str, Any]) -> Iterator[str]:
        """Yield the events of the response to a request."""
        turns = self._tokenizer.encode_many([message["content"] for message in body["messages"]])
        row = SeparatorLayout(self._tokenizer.sep_token_id).lay_out(turns)
        streamer = TextIteratorStreamer(self._tokenizer.hf_tokenizer, skip_prompt=True, skip_special_tokens=True)
        written: list[torch.Tensor] = []
        with self._lock, torch.inference_mode():
            thread = threading.Thread(target=lambda: written.append(self._written(row, body["max_tokens"], streamer)))
            thread.start()
            for piece in streamer:
                yield _event(choices=[{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            thread.join()
        read = len(row.input_ids)
        tokens = len(written[0][0]) - len(row.input_ids)
        yield _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        yield _event(choices=[], usage={"prompt_tokens": read, "completion_tokens": tokens})
        yield "data: [DONE]\n\n"

    def _written(self, row: ConversationSequence, tokens: int, streamer: TextIteratorStreamer) -> torch.Tensor:
        ids = torch.tensor([row.input_ids])
        found: torch.Tensor = self._model.generate(
            input_ids=ids,
            token_type_ids=torch.tensor([row.token_type_ids]),
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=tokens,
            pad_token_id=self._tokenizer.sep_token_id,
            streamer=streamer,
        )
        return found


def make_app(folder: str) -> FastAPI:
    """Return an app that serves the model of a folder, one reply at a time."""

    @contextlib.asynccontextmanager
    async def with_threads(_: FastAPI) -> AsyncIterator[None]:
        # By default there are 40: when so many wait for the lock, none is left for the one that has it.
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    app = FastAPI(lifespan=with_threads)
    model = OneAtATime(folder)

    @app.post("/v1/chat/completions")
    def complete(body: dict[str, Any]) -> StreamingResponse:
        return StreamingResponse(model.stream(body), media_type="text/event-stream")

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _event(**fields: Any) -> str:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', **fields})}\n\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(make_app(options.folder), port=options.port, log_level="warning")
