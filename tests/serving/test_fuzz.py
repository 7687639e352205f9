"""Requests that were almost right, and streams that are left in the middle: never a 5xx, never a broken event."""

import copy
import http.client
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convmodel.serving.service import Service
from tests.conftest import PIECES
from tests.serving.clients import events_of, served, until
from tests.serving.everything import everything

ROUNDS = int(os.environ.get("CONVMODEL_FUZZ_ROUNDS", "150"))
"""Requests; more find more."""

CHAT = {
    "model": "model",
    "messages": [
        {"role": "system", "content": "I am Anna."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ],
    "temperature": 0.5,
    "n": 2,
    "stop": ["x"],
    "seed": 1,
    "max_tokens": 5,
    "stream_options": {"include_usage": True},
    "options": {"top_k": 5},
}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "model", "prompt": ["Once", "Two"], "n": 2, "echo": True, "stop": ["x"]},
    "/v1/embeddings": {"model": "model", "input": ["Hello!"], "encoding_format": "base64", "dimensions": 2},
    "/v1/rerank": {"query": "Hello!", "documents": ["Hi.", {"text": "No."}], "top_n": 1, "return_documents": True},
    "/v1/messages": {
        "model": "model",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "I am Anna."}],
        "messages": [{"role": "user", "content": "Hi"}],
        "metadata": {"user_id": "anna"},
    },
    "/replies": {"context": ["Hello!", "Hi."], "persona": ["I am Anna."], "preset": "bold", "options": {"top_k": 5}},
    "/documents": {"prompt": "Once", "meta": {"of": ["wolves"]}, "n": 2, "seed": 3},
    "/candidates": {"context": ["Hello!"], "k": 3},
    "/conversations": {
        "title": "t",
        "persona": ["I am Anna."],
        "options": {"top_k": 5},
        "turns": ["a", "b"],
        "meta": {},
    },
    "/conversations/ID": {"title": "t", "options": {"top_k": 5}, "version": 1},
    "/conversations/ID/turns": {"text": "Hello!", "join": True, "options": {"top_k": 5}, "seed": 1},
    "/conversations/ID/reply": {"seed": 1, "version": 2},
    "/conversations/ID/retry": {"options": {"temperature": 0.5}},
    "/conversations/ID/choose": {"candidate": 1},
    "/conversations/ID/undo": {"version": 1},
}
"""What is right, by address."""

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 1e300, -1e-300, 0.5, "", " ", [], {}, [[]], {"": None}),
    *("x" * 30_000, ["x"] * 2_000, {"a": {"b": {"c": [1]}}}, float("nan"), float("inf"), "\ud800", *PIECES),
]
"""What stands in the place of something."""

ENDS = {"reply", "documents", "message_stop", "error"}
"""Events that a stream may end with; OpenAI's end with [DONE], or with an error."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Service]]:
    service = everything(tmp_path, grace=0.5)
    with served(service) as address:
        yield address.removeprefix("http://"), service


def test_no_random_request_causes_a_defect_or_a_broken_stream(
    server: tuple[str, Service], request: pytest.FixtureRequest
) -> None:
    address, service = server
    connection = http.client.HTTPConnection(address, timeout=30)
    request.addfinalizer(connection.close)
    made = json.loads(ask(connection, "POST", "/conversations", b"{}")[1])["id"]
    statuses = set()
    for number in range(ROUNDS):
        source = random.Random(number)
        path, body = source.choice(list(BODIES.items()))
        method = "PATCH" if path == "/conversations/ID" else "POST"
        status, text, kind = ask(connection, method, path.replace("ID", made), bent(body, source))
        check(number, status, text, kind)
        statuses.add(status)
        if source.random() < 0.2:
            leave(address, path.replace("ID", made), {**body, "stream": True}, source.choice((0, 1, 60, 300)))
    until(lambda: service.jobs.limit.open == 0)
    status, text, kind = ask(connection, "POST", "/replies", json.dumps(BODIES["/replies"]).encode())
    assert status == 200 and json.loads(text)["text"]
    assert statuses >= {200, 400}


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes) -> tuple[int, str, str]:
    """Status, text and kind of an answer."""
    connection.request(method, path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read().decode(), response.headers.get("Content-Type", "")


def leave(address: str, path: str, body: dict[str, Any], after: int) -> None:
    """Asks for a stream, reads so many bytes of it, and hangs up."""
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    if after:
        with connection.getresponse() as response:
            response.read(after)
    connection.close()


def check(number: int, status: int, text: str, kind: str) -> None:
    """Whether an answer is one that the description knows."""
    message = f"round {number}: {status} {text[:300]}"
    assert status < 500, message
    if status >= 400:
        error = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"], message
        assert "Traceback" not in text and "/site-packages/" not in text, message
    elif kind.startswith("text/event-stream"):
        events = events_of(text)
        assert events and text.endswith("\n\n"), message
        name, data = events[-1]
        parsed = [json.loads(data) for _, data in events if data != "[DONE]"]
        assert name in ENDS or data == "[DONE]" or "error" in parsed[-1], message
    elif status != 204:
        json.loads(text)


def bent(body: dict[str, Any], source: random.Random) -> bytes:
    """A body with something wrong in it: a value, a name, some bytes, or nothing."""
    changed = copy.deepcopy(body)
    if source.random() < 0.4:
        changed["stream"] = True
    for _ in range(source.choice((0, 1, 1, 2))):
        put(changed, source)
    raw = json.dumps(changed).encode()
    if source.random() < 0.3:
        spoiled = bytearray(raw)
        for _ in range(source.randint(1, 4)):
            position = source.randrange(len(spoiled))
            what = source.random()
            if what < 0.4:
                spoiled[position] = source.randrange(256)
            elif what < 0.7:
                del spoiled[position : position + source.randint(1, 5)]
            else:
                spoiled[position:position] = source.randbytes(3)
            if not spoiled:
                return b" "
        raw = bytes(spoiled)
    return raw


def put(body: Any, source: random.Random) -> None:
    """Puts something odd somewhere into a body."""
    parent: Any = body
    while True:
        if isinstance(parent, dict):
            key: Any = source.choice([*parent, source.choice(PIECES)])
            inner = parent.get(key)
        else:
            key = source.randrange(len(parent))
            inner = parent[key]
        if isinstance(inner, dict | list) and inner and source.random() < 0.6:
            parent = inner
            continue
        if isinstance(parent, dict) and source.random() < 0.2:
            parent.pop(key, None)
        else:
            parent[key] = copy.deepcopy(source.choice(ODD))
        return


def test_bodies_are_mutated_in_many_ways() -> None:
    bodies = {bent(CHAT, random.Random(number)) for number in range(100)}
    assert len(bodies) > 60 and any(body == json.dumps(CHAT).encode() for body in bodies)
