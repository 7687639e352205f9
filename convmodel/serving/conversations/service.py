"""Operations on stored conversations: create, read, update, delete, undo, choose and stop."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from convmodel.serving.conversations.errors import (
    invalid_state,
    not_found,
    store_errors_as_api_errors,
    version_conflict,
)
from convmodel.serving.conversations.pending_reply import Json, PendingReply
from convmodel.serving.conversations.schemas import ConversationChange, NewConversation
from convmodel.serving.conversations.sessions import Sessions
from convmodel.serving.errors import APIError
from convmodel.serving.logs import log_defect
from convmodel.serving.request_options import check_persona, check_turns, resolve_options
from convmodel.serving.service import Service
from convmodel.serving.store import Store, conversations, idempotency
from convmodel.serving.store.conversations import ConversationUpdate
from convmodel.serving.store.errors import Conflict, KeyAlreadyUsed
from convmodel.serving.store.idempotency import IdempotencyRecord
from convmodel.serving.store.records import (
    ConversationHeader,
    ConversationRecord,
    ConversationSettings,
    ConversationSummary,
    Turn,
    now,
)

logger = logging.getLogger(__name__)


class Conversations:
    """The stored conversations of all owners. Not thread-safe: use from one event loop.

    Args:
        store: the store of the conversations.
        service: the service that generates replies; its limits and its policy apply.
    """

    def __init__(self, store: Store, service: Service) -> None:
        self.store = store
        self.service = service
        self.sessions = Sessions()
        self.running: dict[str, PendingReply] = {}
        """Replies in progress by conversation id."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def create(self, owner: str, new: NewConversation, key: str | None = None) -> ConversationRecord:
        """Create a conversation, or return the one that the same request with the same key created before.

        Raises:
            APIError: 400 for values over a limit, invalid options, or a text that the policy blocks; 409 if another
                request used the key.
        """
        digest = idempotency.sha256("create", new.model_dump_json())
        if key is not None and (existing := await self._created_before(owner, key, digest)) is not None:
            return existing
        options = {} if new.options is None else new.options.given()
        persona = self.service.persona if new.persona is None else new.persona
        about = ConversationSettings(new.title, tuple(persona), new.preset, options, new.seed, new.meta)
        texts = new.turns or ()
        check_turns(self.service, texts, param="turns")
        # The server's own persona was not sent by the user, and is not checked by the policy.
        await self._check(about, persona if new.persona else (), texts)
        created = now()
        turns = [Turn(n, "user" if n % 2 else "model", text, created) for n, text in enumerate(texts, 1)]
        try:
            with store_errors_as_api_errors():
                return await self.store.awrite(_create, owner, key, digest, about, turns)
        except KeyAlreadyUsed:  # by a concurrent repetition of this request
            assert key is not None
            existing = await self._created_before(owner, key, digest)
            if existing is None:
                raise not_found() from None
            return existing

    async def find_repeated(self, owner: str, key: str, digest: str) -> IdempotencyRecord | None:
        """Return the record of an earlier request with the same key and digest; None for a new request.

        Raises:
            APIError: 409 if a different request used the key.
        """
        with store_errors_as_api_errors():
            record = await self.store.aread(idempotency.find, owner, key)
        if record is not None and record.request != digest:
            raise invalid_state("another request used this Idempotency-Key; use a new key", "idempotency")
        return record

    async def _created_before(self, owner: str, key: str, digest: str) -> ConversationRecord | None:
        """Return the conversation that an earlier identical request created."""
        record = await self.find_repeated(owner, key, digest)
        return None if record is None else await self.load(owner, record.conversation)

    async def load(
        self, owner: str, id: str, *, version: int | None = None, replies: bool = True
    ) -> ConversationRecord:
        """Return a conversation with its turns.

        Raises:
            APIError: 404; 409 if `version` is given and not the newest.
        """
        with store_errors_as_api_errors():
            conversation = await self.store.aread(conversations.load, owner, id, replies=replies)
        if version is not None and conversation.version != version:
            raise version_conflict()
        return conversation

    async def listing(
        self, owner: str, *, limit: int, before: str | None
    ) -> tuple[list[ConversationSummary], str | None]:
        """Return a page of conversations and the cursor of the next page.

        Raises:
            APIError: 400 for an invalid cursor.
        """
        try:
            with store_errors_as_api_errors():
                return await self.store.aread(conversations.listing, owner, limit=limit, before=before)
        except ValueError as error:
            raise APIError(400, str(error), param="before", code="invalid_value") from None

    async def change(self, owner: str, id: str, change: ConversationChange) -> ConversationRecord:
        """Change a conversation's settings.

        Raises:
            APIError: 400, 404, 409.
        """
        conversation = await self.load(owner, id, version=change.version)
        given = change.model_fields_set - {"version"}
        values = {name: value for name, value in vars(change).items() if name in given}
        if "options" in given:
            values["options"] = {} if change.options is None else change.options.given()
        if "persona" in given:
            values["persona"] = list(self.service.persona if change.persona is None else change.persona)
        about = ConversationSettings(**{**vars(conversation.about), **values})
        await self._check(about, values.get("persona", ()), ())
        if not given:
            return conversation
        stored = await self._write(owner, id, ConversationUpdate(version=change.version, about=values))
        if stored.turns_version != conversation.turns_version:  # a turn was stored meanwhile
            return await self.load(owner, id)
        return _with_turns(stored, conversation.turns)

    async def delete(self, owner: str, id: str) -> None:
        """Delete a conversation, and wipe it from the store's files.

        Raises:
            APIError: 404.
        """
        with store_errors_as_api_errors():
            await self.store.awrite(conversations.remove, owner, id)
            self._forget(id)
            await self.store.clean()

    async def delete_all(self, owner: str) -> None:
        """Delete an owner's conversations, and wipe them from the store's files."""
        with store_errors_as_api_errors():
            ids = await self.store.awrite(conversations.remove_all, owner)
            for id in ids:
                self._forget(id)
            if ids:
                await self.store.clean()

    async def undo(
        self, owner: str, id: str, *, version: int | None = None
    ) -> tuple[Sequence[Turn], ConversationRecord]:
        """Remove the last exchange, or the turn that waits for its reply.

        Returns:
            The removed turns and the remaining conversation.

        Raises:
            APIError: 404, 409.
        """
        conversation = await self.load(owner, id, version=version)
        if not conversation.turns:
            raise invalid_state("the conversation has no turn to undo", "nothing_said")
        keep = len(conversation.turns) - (1 if conversation.waiting else 2)
        update = ConversationUpdate(turns_version=conversation.turns_version, keep=keep)
        stored = await self._write(owner, id, update)
        self._forget(id)
        self.store.unclean = True
        return conversation.turns[keep:], _with_turns(stored, conversation.turns[:keep])

    async def choose(self, owner: str, id: str, number: int, *, version: int | None = None) -> ConversationRecord:
        """Replace the last reply by another of its candidates.

        Args:
            owner: name of the API key.
            id: conversation id.
            number: index of the candidate, counted from 1.
            version: required version of the conversation; None accepts any.

        Raises:
            APIError: 400, 404, 409.
        """
        conversation = await self.load(owner, id, version=version)
        last = conversation.turns[-1] if conversation.turns else None
        if last is None or last.reply is None or last.blocked:
            raise invalid_state("the last turn is not a generated reply and has no candidates", "no_reply")
        candidates: Sequence[Mapping[str, Any]] = last.reply["candidates"]
        if number > len(candidates):
            message = f"there is no candidate {number}; there are 1 to {len(candidates)}"
            raise APIError(400, message, param="candidate", code="invalid_value")
        text = candidates[number - 1]["text"]
        if not text.strip():
            message = f"candidate {number} has no text; choose another"
            raise APIError(400, message, param="candidate", code="invalid_value")
        turn = Turn(last.number, "model", text, last.created, last.reply, number - 1)
        update = ConversationUpdate(turns_version=conversation.turns_version, keep=last.number - 1, add=[turn])
        stored = await self._write(owner, id, update)
        self.sessions.drop(id)
        return _with_turns(stored, (*conversation.turns[:-1], turn))

    async def stop(self, owner: str, id: str) -> None:
        """Stop the reply in progress in a conversation.

        Raises:
            APIError: 404; 409 if no reply is in progress.
        """
        await self.load(owner, id, replies=False)
        if id not in self.running:
            raise invalid_state("no reply is in progress in this conversation", "nothing_running")
        self.running[id].stop()

    # Replies in progress

    def run(self, id: str, pending: PendingReply, storing: Coroutine[Any, Any, Json]) -> None:
        """Register a reply in progress, and run the coroutine that stores it even if the client disconnects."""
        self.running[id] = pending
        task = asyncio.get_running_loop().create_task(storing)
        pending.task = task
        self._tasks.add(task)

        def finish(_: object) -> None:
            self._tasks.discard(task)
            if self.running.get(id) is pending:
                del self.running[id]
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, APIError):
                log_defect(logger, error, texts=self.service.settings.log_texts)

        task.add_done_callback(finish)

    async def end(self) -> None:
        """Stop the replies in progress, and wait until they are stored."""
        for pending in self.running.values():
            pending.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, id: str) -> None:
        """Drop the session of a conversation, and stop its reply in progress."""
        self.sessions.drop(id)
        self.end_reply(id)

    def end_reply(self, id: str) -> None:
        """Stop the reply in progress in a conversation, if any, because its context has changed."""
        pending = self.running.pop(id, None)  # at once, so that the next turn need not wait for the end
        if pending is not None:
            pending.stop()

    async def _write(self, owner: str, id: str, update: ConversationUpdate) -> ConversationHeader:
        try:
            with store_errors_as_api_errors():
                return await self.store.awrite(conversations.change, owner, id, update)
        except Conflict:
            raise version_conflict() from None

    async def _check(self, about: ConversationSettings, persona: Sequence[str], turns: Sequence[str]) -> None:
        """Check settings and texts.

        Args:
            about: the settings.
            persona: sentences that the policy checks as input.
            turns: texts that the policy checks, alternately as input and output.

        Raises:
            APIError: 400 for values over a limit, invalid options, or a blocked text.
        """
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


def _create(
    connection: Connection, owner: str, key: str | None, digest: str, about: ConversationSettings, turns: Sequence[Turn]
) -> ConversationRecord:
    """Create a conversation, and store the idempotency key of the request.

    Raises:
        IntegrityError: if the key is in use.
    """
    conversation = conversations.create(connection, owner, about=about, turns=turns)
    if key is not None:
        record = IdempotencyRecord(digest, conversation.id, conversation.turns_version, None, None)
        idempotency.begin(connection, owner, key, record)
    return conversation


def _with_turns(stored: ConversationHeader, turns: Sequence[Turn]) -> ConversationRecord:
    return ConversationRecord(**vars(stored), turns=tuple(turns))
