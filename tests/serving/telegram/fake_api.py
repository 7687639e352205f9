"""A Bot API over real HTTP that keeps what it was told: updates in, the calls of a bot out."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "42:secret-of-the-bot"
BOT = 42
NAME = "convbot"

ME = {"id": BOT, "is_bot": True, "first_name": "Conv", "username": NAME}
ALICE = {"id": 7, "is_bot": False, "first_name": "Alice"}


@dataclass
class Fault:
    """What goes wrong with one call.

    Args:
        status: of the answer; None breaks the connection.
        done: whether the call is followed before it goes wrong.
        body: of the answer; what Telegram says when left out.
        parameters: such as retry_after.
    """

    status: int | None = None
    done: bool = False
    body: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    description: str = "it went wrong"


@dataclass
class Call:
    """A call of the bot."""

    method: str
    fields: dict[str, Any]
    time: float


class FakeApi:
    """Telegram, as far as a bot sees it.

    Args:
        head_start: the first update_id less one.
    """

    def __init__(self, *, head_start: int = 1000) -> None:
        self.last = head_start
        self.queue: list[tuple[int, Any]] = []
        self.calls: list[Call] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.offsets: list[int | None] = []
        self.messages: dict[int, int] = defaultdict(int)
        self.changed = asyncio.Condition()
        self._polling: asyncio.Event | None = None
        self.url = ""

    # What people do

    async def push(self, raw: Any, *, place: int | None = None) -> None:
        """Has an update wait for the bot, whatever it is."""
        async with self.changed:
            self.queue.append((raw["update_id"] if place is None else place, raw))
            self.queue.sort(key=lambda entry: entry[0])
            self.changed.notify_all()

    def number(self) -> int:
        """The next update_id."""
        self.last += 1
        return self.last

    async def event(self, kind: str, value: Any) -> int:
        """An update of some kind; returns its id."""
        number = self.number()
        await self.push({"update_id": number, kind: value})
        return number

    async def say(self, text: str, *, chat: int = 7, **more: Any) -> int:
        """A person writes to the bot."""
        return await self.event("message", self.message(text, chat=chat, **more))

    def message(self, text: str | None, *, chat: int = 7, **more: Any) -> dict[str, Any]:
        """A message of a person; of a group where the chat's id is below zero."""
        self.messages[chat] += 1
        about = {"id": chat, "type": "private", "first_name": "Alice"} if chat > 0 else group(chat)
        found = {"message_id": self.messages[chat], "date": 1_700_000_000, "chat": about, "from": {**ALICE, "id": 7}}
        return found | ({} if text is None else {"text": text}) | more

    # What came of it

    def of(self, method: str) -> list[Call]:
        """The calls of a method that were followed."""
        return [call for call in self.calls if call.method == method]

    def texts(self, chat: int = 7) -> list[str]:
        """The messages that a chat has got."""
        return [call.fields["text"] for call in self.of("sendMessage") if call.fields["chat_id"] == str(chat)]

    async def until(self, count: int, *, chat: int | None = 7, method: str = "sendMessage") -> list[str]:
        """Waits for so many messages to a chat, or calls of a method, and returns the texts."""

        def there() -> bool:
            return len(self.texts(chat) if chat is not None else self.of(method)) >= count

        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(there), 20)
        return self.texts(chat) if chat is not None else []

    async def until_confirmed(self) -> None:
        """Waits until no update is left to be asked for."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: not self.queue), 20)

    # HTTP

    async def __aenter__(self) -> "FakeApi":
        app = web.Application()
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != TOKEN:
            return _said(401, description="Unauthorized")
        method, fields = request.match_info["method"], dict(await request.post())
        fault = self.faults[method].pop(0) if self.faults[method] else None
        if fault is not None and not fault.done:
            return self._fail(request, fault)
        call = Call(method, fields, asyncio.get_running_loop().time())
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            return _said(404, description="Not Found")
        answer: web.StreamResponse = await handler(fields)
        if answer.status == 200 and method != "getUpdates":
            async with self.changed:
                self.calls.append(call)
                self.changed.notify_all()
        return self._fail(request, fault) if fault is not None else answer

    def _fail(self, request: web.Request, fault: Fault) -> web.Response:
        if fault.status is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if fault.body is not None:
            return web.Response(status=fault.status, text=fault.body)
        return _said(fault.status, description=fault.description, parameters=dict(fault.parameters))

    async def _getMe(self, fields: Mapping[str, Any]) -> web.Response:
        return _said(200, ME)

    async def _setMyCommands(self, fields: Mapping[str, Any]) -> web.Response:
        return _said(200, True)

    async def _sendChatAction(self, fields: Mapping[str, Any]) -> web.Response:
        return _said(200, True)

    async def _sendMessageDraft(self, fields: Mapping[str, Any]) -> web.Response:
        if not 0 < len(fields["text"].encode("utf-16-le")) / 2 <= 4096 or int(fields["draft_id"]) == 0:
            return _said(400, description="Bad Request: message is too long")
        return _said(200, True)

    async def _sendMessage(self, fields: Mapping[str, Any]) -> web.Response:
        text = str(fields.get("text", ""))
        if not text.strip():
            return _said(400, description="Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) / 2 > 4096:
            return _said(400, description="Bad Request: message is too long")
        return _said(200, self.message(text, chat=int(fields["chat_id"])) | {"from": ME})

    async def _getUpdates(self, fields: Mapping[str, Any]) -> web.Response:
        """With an offset, what is before it is forgotten; one far behind the end is taken for the beginning."""
        if self._polling is not None:
            self._polling.set()
        mine = self._polling = asyncio.Event()
        offset = int(fields["offset"]) if "offset" in fields else None
        self.offsets.append(offset)
        deadline = asyncio.get_running_loop().time() + float(fields.get("timeout", 0))
        async with self.changed:
            if offset is not None and offset <= self.last + 10:
                self.queue = [entry for entry in self.queue if entry[0] >= offset]
                self.changed.notify_all()
            while not self.queue and not mine.is_set():
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                try:
                    await asyncio.wait_for(self.changed.wait(), min(left, 0.05))
                except TimeoutError:
                    continue
            if mine.is_set():
                return _said(409, description="Conflict: terminated by other getUpdates request")
            return _said(200, [raw for _, raw in self.queue[:100]])


def group(chat: int) -> dict[str, Any]:
    """What Telegram says of a group."""
    return {"id": chat, "type": "supergroup", "title": "Friends"}


def _said(status: int, result: Any = None, *, description: str = "", parameters: Any = None) -> web.Response:
    body: dict[str, Any] = {"ok": status == 200}
    body |= {"result": result} if status == 200 else {"error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")
