"""Who asks and for which conversation in, what it is and what becomes of it out; all of it awaited."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from convmodel.data.lines import encode
from convmodel.serving.conversations.errors import conflict, missing, state, told
from convmodel.serving.conversations.pending_reply import Json, PendingReply
from convmodel.serving.conversations.schemas import ConversationChange, NewConversation
from convmodel.serving.conversations.sessions import Sessions
from convmodel.serving.errors import APIError
from convmodel.serving.logs import log_defect
from convmodel.serving.request_options import check_chars, check_persona, resolve_options
from convmodel.serving.service import Service
from convmodel.serving.store import (
    Conflict,
    ConversationHeader,
    ConversationRecord,
    ConversationSettings,
    ConversationSummary,
    KeyAlreadyUsed,
    Store,
    Turn,
    conversations,
    idempotency,
)
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import now

logger = logging.getLogger(__name__)

EXPORTED_AT_ONCE = 50
"""Conversations that are read in one go when all are exported."""


class Conversations:
    """The conversations of everybody who asks; belongs to one event loop.

    Args:
        store: keeps them.
        service: replies, its limits and its policy.
    """

    def __init__(self, store: Store, service: Service) -> None:
        self.store, self.service = store, service
        self.sessions = Sessions()
        self.running: dict[str, PendingReply] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # What is asked for

    async def create(self, owner: str, new: NewConversation, key: str | None = None) -> ConversationRecord:
        """Makes a conversation; where the same request came with the same key before, finds the one that it made.

        Raises:
            Refusal: 400 for what is too much, cannot be followed, or is blocked by the policy; 409 for another request
                with the same key.
        """
        digest = idempotency.sha256("create", new.model_dump_json())
        if key is not None and (before := await self._made(owner, key, digest)) is not None:
            return before
        options = {} if new.options is None else new.options.given()
        persona = self.service.persona if new.persona is None else new.persona
        about = ConversationSettings(new.title, tuple(persona), new.preset, options, new.seed, new.meta)
        self._check_turns(new.turns or ())
        await self._check(about, persona if new.persona else (), new.turns or ())
        at = now()
        turns = [Turn(n, "user" if n % 2 else "model", text, at) for n, text in enumerate(new.turns or (), 1)]
        try:
            with told():
                return await self.store.writing(_create, owner, key, digest, about, turns)
        except KeyAlreadyUsed:  # by the same request, at the same moment
            assert key is not None
            made = await self._made(owner, key, digest)
            if made is None:
                raise missing() from None
            return made

    async def asked_before(self, owner: str, key: str, digest: str) -> IdempotencyRecord | None:
        """The same request that came with this key before; None for a new one.

        Raises:
            Refusal: 409 for another request with the same key.
        """
        with told():
            before = await self.store.reading(idempotency.find, owner, key)
        if before is not None and before.request != digest:
            raise state("another request came with this Idempotency-Key; take a new key", "idempotency")
        return before

    async def _made(self, owner: str, key: str, digest: str) -> ConversationRecord | None:
        """What the same request made before."""
        before = await self.asked_before(owner, key, digest)
        return None if before is None else await self.load(owner, before.conversation)

    async def load(
        self, owner: str, id: str, *, version: int | None = None, replies: bool = True
    ) -> ConversationRecord:
        """A conversation.

        Raises:
            Refusal: 404, or 409 when it is not of that version.
        """
        with told():
            whole = await self.store.reading(conversations.load, owner, id, replies=replies)
        if version is not None and whole.version != version:
            raise conflict()
        return whole

    async def listing(
        self, owner: str, *, limit: int, before: str | None
    ) -> tuple[list[ConversationSummary], str | None]:
        """A page of conversations, and the cursor of the next one.

        Raises:
            Refusal: 400 for what is no cursor.
        """
        try:
            with told():
                return await self.store.reading(conversations.listing, owner, limit=limit, before=before)
        except ValueError as error:
            raise APIError(400, str(error), param="before", code="invalid_value") from None

    async def change(self, owner: str, id: str, wanted: ConversationChange) -> ConversationRecord:
        """Changes what is set of a conversation.

        Raises:
            Refusal: 400, 404, 409.
        """
        whole = await self.load(owner, id, version=wanted.version)
        given = wanted.model_fields_set - {"version"}
        values = {name: value for name, value in vars(wanted).items() if name in given}
        if "options" in given:
            values["options"] = {} if wanted.options is None else wanted.options.given()
        if "persona" in given:
            values["persona"] = list(self.service.persona if wanted.persona is None else wanted.persona)
        about = ConversationSettings(**{**vars(whole.about), **values})
        await self._check(about, values.get("persona", ()), ())
        if not given:
            return whole
        stored = await self._write(owner, id, ConversationUpdate(version=wanted.version, about=values))
        if stored.turns_version != whole.turns_version:  # a turn was stored meanwhile
            return await self.load(owner, id)
        return _whole(stored, whole.turns)

    async def delete(self, owner: str, id: str) -> None:
        """Deletes a conversation; none of it is left in the store's files.

        Raises:
            Refusal: 404.
        """
        with told():
            await self.store.writing(conversations.remove, owner, id)
            self._forget(id)
            await self.store.cleaning()

    async def delete_all(self, owner: str) -> None:
        """Deletes an owner's conversations."""
        with told():
            gone = await self.store.writing(conversations.remove_all, owner)
            for id in gone:
                self._forget(id)
            if gone:
                await self.store.cleaning()

    async def undo(
        self, owner: str, id: str, *, version: int | None = None
    ) -> tuple[Sequence[Turn], ConversationRecord]:
        """Takes back the last exchange, or the turn that still waits for its reply.

        Returns:
            What was taken back, and what is left.

        Raises:
            Refusal: 404, 409.
        """
        whole = await self.load(owner, id, version=version)
        if not whole.turns:
            raise state("there is nothing to take back", "nothing_said")
        keep = len(whole.turns) - (1 if whole.waiting else 2)
        stored = await self._write(owner, id, ConversationUpdate(turns_version=whole.turns_version, keep=keep))
        self._forget(id)
        self.store.unclean = True
        return whole.turns[keep:], _whole(stored, whole.turns[:keep])

    async def choose(self, owner: str, id: str, number: int, *, version: int | None = None) -> ConversationRecord:
        """Makes another candidate of the last reply the turn, counted from 1.

        Raises:
            Refusal: 400, 404, 409.
        """
        whole = await self.load(owner, id, version=version)
        last = whole.turns[-1] if whole.turns else None
        if last is None or last.reply is None or last.blocked:
            raise state("the last turn is no reply that was made here; there is nothing to choose from", "no_reply")
        candidates: Sequence[Mapping[str, Any]] = last.reply["candidates"]
        if number > len(candidates):
            said = f"there is no candidate {number}; there are 1 to {len(candidates)}"
            raise APIError(400, said, param="candidate", code="invalid_value")
        text = candidates[number - 1]["text"]
        if not text.strip():
            said = f"candidate {number} has no text; choose another"
            raise APIError(400, said, param="candidate", code="invalid_value")
        turn = Turn(last.number, "model", text, last.created, last.reply, number - 1)
        wanted = ConversationUpdate(turns_version=whole.turns_version, keep=last.number - 1, add=[turn])
        stored = await self._write(owner, id, wanted)
        self.sessions.drop(id)
        return _whole(stored, (*whole.turns[:-1], turn))

    async def stop(self, owner: str, id: str) -> None:
        """Ends the reply that is being made here.

        Raises:
            Refusal: 404, and 409 when none is.
        """
        await self.load(owner, id, replies=False)
        if id not in self.running:
            raise state("no reply is being made in this conversation", "nothing_running")
        self.running[id].stop()

    # Export

    async def export(self, owner: str, id: str) -> bytes:
        """A conversation as a line that the package reads and trains on; nothing when it has no exchange yet.

        Raises:
            Refusal: 404.
        """
        return line(await self.load(owner, id, replies=False))

    async def export_all(self, owner: str) -> AsyncIterator[bytes]:
        """An owner's conversations, the youngest first, some lines at a time.

        Raises:
            Refusal: 503.
        """
        before: str | None = None
        while True:
            found, before = await self.listing(owner, limit=EXPORTED_AT_ONCE, before=before)
            lines = await asyncio.gather(*(self._line(owner, each.id) for each in found))
            yield b"".join(lines)
            if before is None:
                return

    async def _line(self, owner: str, id: str) -> bytes:
        try:
            return await self.export(owner, id)
        except APIError as refusal:
            if refusal.status == 404:  # deleted since it was listed
                return b""
            raise

    # What is being made

    def run(self, id: str, exchange: PendingReply, storing: Coroutine[Any, Any, Json]) -> None:
        """Stores a reply when it is over, whoever listens."""
        self.running[id] = exchange
        exchange.task = task = asyncio.get_running_loop().create_task(storing)
        self._tasks.add(task)

        def over(_: object) -> None:
            self._tasks.discard(task)
            if self.running.get(id) is exchange:
                del self.running[id]
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, APIError):
                log_defect(logger, error, texts=self.service.settings.log_texts)

        task.add_done_callback(over)

    async def end(self) -> None:
        """Stops what is being made, and waits until it is stored."""
        for exchange in self.running.values():
            exchange.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, id: str) -> None:
        """Drops what is remembered of a conversation, and ends the reply that nobody can have any more."""
        self.sessions.drop(id)
        self.end_reply(id)

    def end_reply(self, id: str) -> None:
        """Ends the reply that is being made in a conversation, if one is, since it fits no more."""
        ended = self.running.pop(id, None)  # what is said next need not wait for its end
        if ended is not None:
            ended.stop()

    async def _write(self, owner: str, id: str, wanted: ConversationUpdate) -> ConversationHeader:
        try:
            with told():
                return await self.store.writing(conversations.change, owner, id, wanted)
        except Conflict:
            raise conflict() from None

    def _check_turns(self, turns: Sequence[str]) -> None:
        settings = self.service.settings
        if len(turns) > settings.turns:
            said = f"there are {len(turns):,} turns; {settings.turns:,} are allowed"
            raise APIError(400, said, param="turns", code="too_much")
        for number, turn in enumerate(turns):
            check_chars(turn, settings.turn_chars, param=f"turns.{number}")

    async def _check(self, about: ConversationSettings, persona: Sequence[str], turns: Sequence[str]) -> None:
        """Raises Refusal 400 for what cannot be followed, or what the policy does not let in."""
        check_persona(self.service, about.persona)
        options = resolve_options(self.service, about.preset, about.options)
        if self.service.replies is not None:
            try:
                self.service.replies.responder.check_options(options)
            except ValueError as error:
                raise APIError(400, str(error), param="options", code="invalid_value") from None
        policy = self.service.policy
        if policy is None:
            return
        for check, texts, param in (
            (policy.check_input, persona, "persona"),
            (policy.check_input, turns[::2], "turns"),
            (policy.check_output, turns[1::2], "turns"),
        ):
            if texts and await asyncio.to_thread(check, texts) is not None:
                raise APIError(400, f"{param}: a text is not allowed here", param=param, code="blocked")


def line(whole: ConversationRecord) -> bytes:
    """A conversation as one line of JSON: its exchanges, without those that were blocked and what still waits.

    A persona describes who speaks last; with a last turn of the user's, a model would learn that it is the user's.
    """
    turns = [turn.text for turn in whole.turns if not turn.blocked]
    turns = turns[: len(turns) - len(turns) % 2]
    if not turns:
        return b""
    value: dict[str, Any] = {"turns": turns}
    if whole.about.persona:
        value["persona"] = list(whole.about.persona)
    if whole.about.meta is not None:
        value["meta"] = dict(whole.about.meta)
    return encode(value).encode() + b"\n"


def _create(
    connection: Connection, owner: str, key: str | None, digest: str, about: ConversationSettings, turns: Sequence[Turn]
) -> ConversationRecord:
    """Makes a conversation, and keeps the key of the request that asked for it.

    Raises:
        what says that the key is there already.
    """
    made = conversations.create(connection, owner, about=about, turns=turns)
    if key is not None:
        idempotency.begin(connection, owner, key, IdempotencyRecord(digest, made.id, made.turns_version, None, None))
    return made


def _whole(stored: ConversationHeader, turns: Sequence[Turn]) -> ConversationRecord:
    return ConversationRecord(**vars(stored), turns=tuple(turns))
