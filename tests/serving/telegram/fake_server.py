"""A convmodel server over real HTTP, as far as the bot knows it: turns in, replies in words and out of memory."""

import asyncio
import json
from typing import Any

from aiohttp import web


class FakeServer:
    """Replies to a turn with "re:" and its text.

    Args:
        seconds: before each word of a reply.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.conversations: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.faults: list[int | None] = []
        self.words: list[str] | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.begun = asyncio.Event()
        self.asked: list[tuple[str, str, Any]] = []
        self.url = ""

    def turns(self) -> list[str]:
        """The turns of all conversations, one after the other."""
        return [turn["text"] for one in self.conversations.values() for turn in one["turns"]]

    async def __aenter__(self) -> "FakeServer":
        app = web.Application()
        app.router.add_get("/about", self._about)
        app.router.add_post("/conversations", self._create)
        app.router.add_route("*", "/conversations/{id}", self._conversation)
        app.router.add_post("/conversations/{id}/undo", self._undo)
        app.router.add_post("/conversations/{id}/stop", self._stop)
        app.router.add_post("/conversations/{id}/{path}", self._reply)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hold.set()
        await self._runner.cleanup()

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "title": "a fake",
                "conversations": True,
                "preset": None,
                "presets": {"bold": {"temperature": 1.5}},
                "options": {"temperature": 1.0, "top_k": 50},
                "option_help": {"temperature": "a number above 0", "top_k": "a whole number", "seed": "a whole number"},
                "limits": {"turn_chars": 5000},
            }
        )

    async def _create(self, request: web.Request) -> web.Response:
        self.asked.append(("POST", "/conversations", await request.json()))
        one = {"id": f"c{len(self.conversations)}", "version": 1, "turns": [], "waiting": False}
        self.conversations[one["id"]] = one  # type: ignore[index]
        return web.json_response(one, status=201)

    async def _conversation(self, request: web.Request) -> web.Response:
        one = self.conversations.get(request.match_info["id"])
        body: Any = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path, body))
        if one is None:
            return refusal(404, "there is no such conversation")
        if request.method == "DELETE":
            self.deleted.append(one["id"])
            del self.conversations[one["id"]]
            return web.Response(status=204)
        if request.method == "PATCH":
            temperature = body["options"].get("temperature", 1)
            if not isinstance(temperature, int | float) or temperature <= 0:
                return refusal(400, f"temperature={temperature!r}: give a number above 0")
            one.update(body, version=one["version"] + 1)
        return web.json_response(one)

    async def _undo(self, request: web.Request) -> web.Response:
        one, body = self.conversations[request.match_info["id"]], await request.json()
        if body["version"] != one["version"]:
            return refusal(409, "it was changed", code="conflict")
        taken = one["turns"][-1 if one["waiting"] else -2 :]
        del one["turns"][-len(taken) :]
        one.update(version=one["version"] + 1, waiting=False)
        status = self._fault()
        return (
            web.json_response({"taken": taken, "conversation": one}) if status is None else self._fail(request, status)
        )

    async def _stop(self, request: web.Request) -> web.Response:
        self.asked.append(("POST", request.path, None))
        self.conversations[request.match_info["id"]]["stop"] = True
        self.hold.set()
        return web.json_response({}, status=202)

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        one, path = self.conversations.get(request.match_info["id"]), request.match_info["path"]
        body, key = await request.json(), request.headers["Idempotency-Key"]
        self.asked.append(("POST", request.path, {**body, "key": key}))
        if one is None:
            return refusal(404, "there is no such conversation")
        if self.faults and (status := self.faults.pop(0)) is not None:
            return self._fail(request, status)
        known = self.keys.get(key)
        if known is not None and known["body"] != (path, body):
            return refusal(409, "another body", code="idempotency")
        if known is not None and known["answer"] is not None:
            return web.json_response(known["answer"])
        if known is None:
            said = self._say(one, path, body)
            if isinstance(said, web.Response):
                return said
        self.keys[key] = {"body": (path, body), "answer": None}
        return await self._stream(request, one, key)

    def _say(self, one: dict[str, Any], path: str, body: Any) -> web.Response | None:
        if path == "turns":
            if "too long" in body["text"]:
                return refusal(400, "the text is too long; shorten it")
            if one["waiting"]:
                one["turns"][-1]["text"] += "\n" + body["text"]
            else:
                one["turns"].append({"speaker": "user", "text": body["text"]})
        elif not one["turns"]:
            return refusal(400, "there is nothing to reply to; say something first")
        elif path == "retry" and one["waiting"]:
            return refusal(409, "it waits", code="waiting")
        elif path == "retry":
            one["turns"].pop()
        elif not one["waiting"]:
            return refusal(409, "nothing waits", code="nothing_waits")
        one.update(waiting=True, version=one["version"] + 1)
        return None

    async def _stream(self, request: web.Request, one: dict[str, Any], key: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        one["stop"] = False
        written: list[str] = []
        words = self.words or ["re:", *one["turns"][-1]["text"].split(" ")]
        try:
            await response.prepare(request)
            for word in words:
                await asyncio.sleep(self.seconds)
                if written:
                    self.begun.set()
                    await self.hold.wait()
                if one["stop"]:
                    break
                written.append(word if not written else f" {word}")
                await _event(response, "piece", {"text": written[-1]})
            answer = self._store(one, key, written, "cancelled" if one["stop"] else "end")
            await _event(response, "reply", answer)
        except (asyncio.CancelledError, ConnectionError):
            self._store(one, key, written, "cancelled")
            raise
        return response

    def _store(self, one: dict[str, Any], key: str, written: list[str], finish: str) -> dict[str, Any]:
        reply = {"text": "".join(written), "finish": finish}
        if written:
            one["turns"].append({"speaker": "model", "text": reply["text"]})
            one.update(waiting=False, version=one["version"] + 1)
            self.keys[key]["answer"] = {"reply": reply, "waiting": False}
            return dict(self.keys[key]["answer"])
        return {"reply": None, "waiting": True}

    def _fault(self) -> int | None:
        return self.faults.pop(0) if self.faults else None

    def _fail(self, request: web.Request, status: int) -> web.Response:
        if status == 0:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return refusal(status, f"status {status}", headers={"Retry-After": "0"})


async def _event(response: web.StreamResponse, name: str, data: Any) -> None:
    await response.write(f": \n\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())


def refusal(
    status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    """An error of ours."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)
