"""A Bot API over real HTTP that records the calls of a bot."""

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
    """A fault of one call.

    Args:
        status: status of the response; None breaks the connection.
        done: whether the call is executed before the fault.
        body: body of the response; None for that of Telegram.
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
    """The parts of Telegram that a bot sees.

    Args:
        last: the last update_id that has been used.
        reads_all: whether the bot receives all messages of groups, as without privacy mode.
    """

    def __init__(self, *, last: int = 1000, reads_all: bool = False) -> None:
        self.last = last
        self.reads_all = reads_all
        self.queue: list[tuple[int, Any]] = []
        self.calls: list[Call] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.offsets: list[int | None] = []
        self.messages: dict[int, int] = defaultdict(int)
        self.changed = asyncio.Condition()
        self._polling: asyncio.Event | None = None
        self.url = ""

    # Actions of people

    async def push(self, raw: Any, *, position: int | None = None) -> None:
        """Queue an update for the bot, valid or not."""
        async with self.changed:
            self.queue.append((raw["update_id"] if position is None else position, raw))
            self.queue.sort(key=lambda entry: entry[0])
            self.changed.notify_all()

    def next_id(self) -> int:
        """Return the next update_id."""
        self.last += 1
        return self.last

    async def event(self, kind: str, value: Any) -> int:
        """Queue an update of some kind; return its id."""
        update_id = self.next_id()
        await self.push({"update_id": update_id, kind: value})
        return update_id

    async def say(self, text: str, *, chat: int = 7, **more: Any) -> int:
        """Send a message of a person to the bot; return the id of its update."""
        return await self.event("message", self.message(text, chat=chat, **more))

    def message(self, text: str | None, *, chat: int = 7, **more: Any) -> dict[str, Any]:
        """Return a message of a person, in a group if the id of the chat is negative."""
        self.messages[chat] += 1
        about = {"id": chat, "type": "private", "first_name": "Alice"} if chat > 0 else group(chat)
        sent = {"message_id": self.messages[chat], "date": 1_700_000_000, "chat": about, "from": {**ALICE, "id": 7}}
        return sent | ({} if text is None else {"text": text}) | more

    # Results

    def of(self, method: str) -> list[Call]:
        """Return the executed calls of a method."""
        return [call for call in self.calls if call.method == method]

    def texts(self, chat: int = 7) -> list[str]:
        """Return the messages that a chat has received."""
        return [call.fields["text"] for call in self.of("sendMessage") if call.fields["chat_id"] == str(chat)]

    async def until(self, count: int, *, chat: int | None = 7, method: str = "sendMessage") -> list[str]:
        """Wait for a number of messages to a chat, or of calls of a method; return the texts."""

        def enough() -> bool:
            return len(self.texts(chat) if chat is not None else self.of(method)) >= count

        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(enough), 20)
        return self.texts(chat) if chat is not None else []

    async def until_confirmed(self) -> None:
        """Wait until all updates are confirmed."""
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
            return _response(401, description="Unauthorized")
        method, fields = request.match_info["method"], dict(await request.post())
        fault = self.faults[method].pop(0) if self.faults[method] else None
        if fault is not None and not fault.done:
            return self._fail(request, fault)
        call = Call(method, fields, asyncio.get_running_loop().time())
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            return _response(404, description="Not Found")
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
        return _response(fault.status, description=fault.description, parameters=dict(fault.parameters))

    async def _getMe(self, fields: Mapping[str, Any]) -> web.Response:
        return _response(200, ME | {"can_read_all_group_messages": self.reads_all})

    async def _setMyCommands(self, fields: Mapping[str, Any]) -> web.Response:
        return _response(200, True)

    async def _sendChatAction(self, fields: Mapping[str, Any]) -> web.Response:
        return _response(200, True)

    async def _sendMessageDraft(self, fields: Mapping[str, Any]) -> web.Response:
        if not 0 < len(fields["text"].encode("utf-16-le")) / 2 <= 4096 or int(fields["draft_id"]) == 0:
            return _response(400, description="Bad Request: message is too long")
        return _response(200, True)

    async def _sendMessage(self, fields: Mapping[str, Any]) -> web.Response:
        text = str(fields.get("text", ""))
        if not text.strip():
            return _response(400, description="Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) / 2 > 4096:
            return _response(400, description="Bad Request: message is too long")
        return _response(200, self.message(text, chat=int(fields["chat_id"])) | {"from": ME})

    async def _getUpdates(self, fields: Mapping[str, Any]) -> web.Response:
        """Drop updates before the offset, unless the offset is far behind the last update."""
        if self._polling is not None:
            self._polling.set()
        superseded = self._polling = asyncio.Event()
        offset = int(fields["offset"]) if "offset" in fields else None
        self.offsets.append(offset)
        deadline = asyncio.get_running_loop().time() + float(fields.get("timeout", 0))
        async with self.changed:
            if offset is not None and offset <= self.last + 10:
                self.queue = [entry for entry in self.queue if entry[0] >= offset]
                self.changed.notify_all()
            while not self.queue and not superseded.is_set():
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                try:
                    await asyncio.wait_for(self.changed.wait(), min(left, 0.05))
                except TimeoutError:
                    continue
            if superseded.is_set():
                return _response(409, description="Conflict: terminated by other getUpdates request")
            return _response(200, [raw for _, raw in self.queue[:100]])


def group(chat: int) -> dict[str, Any]:
    """Return a group as in the Bot API."""
    return {"id": chat, "type": "supergroup", "title": "Friends"}


def _response(status: int, result: Any = None, *, description: str = "", parameters: Any = None) -> web.Response:
    body: dict[str, Any] = {"ok": status == 200}
    body |= {"result": result} if status == 200 else {"error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")
