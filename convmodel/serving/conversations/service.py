"""Operations on stored conversations: create, read, update, delete, undo, choose and stop."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from convmodel.serving.conversations.errors import invalid_state, not_found, translate_store_errors, version_conflict
from convmodel.serving.conversations.schemas import ConversationChange, NewConversation
from convmodel.serving.conversations.sessions import Sessions
from convmodel.serving.errors import APIError
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
from convmodel.serving.thread_bridge import AsyncJob


class Conversations:
    """The stored conversations of all owners. Not thread-safe: use from one event loop.

    Args:
        store: the store that holds the conversations.
        service: the service that generates replies; its limits and its policy apply.
    """

    def __init__(self, store: Store, service: Service) -> None:
        self.store = store
        self.service = service
        self.sessions = Sessions()
        self.running: dict[str, AsyncJob[Any]] = {}
        """The jobs of the replies in progress, by conversation id; at most one per conversation."""

    async def create(self, owner: str, new: NewConversation, key: str | None = None) -> ConversationRecord:
        """Create a conversation, or return the conversation that an identical earlier request created.

        Args:
            owner: name of the API key that may access the conversation.
            new: the request body.
            key: idempotency key of the request; without a key, each request creates a conversation.

        Raises:
            APIError: 400 for values over a limit, invalid options, or a text that the policy blocks; 409 if a
                different request used the key; 503 if the store is not available.
        """
        digest = idempotency.sha256("create", new.model_dump_json())
        if (existing := await self._created_before(owner, key, digest)) is not None:
            return existing
        texts = new.turns or ()
        check_turns(self.service, texts, param="turns")
        about = ConversationSettings(**self._settings(new, [field.name for field in fields(ConversationSettings)]))
        await self._check(about, new.persona or (), texts)
        created = now()
        turns = [Turn(n, "user" if n % 2 else "model", text, created) for n, text in enumerate(texts, 1)]
        try:
            with translate_store_errors():
                return await self.store.awrite(idempotency.create_once, owner, key, digest, about, turns)
        except KeyAlreadyUsed:  # by a concurrent repetition of this request
            if (existing := await self._created_before(owner, key, digest)) is None:
                raise not_found() from None
            return existing

    async def find_repeated(self, owner: str, key: str | None, digest: str) -> IdempotencyRecord | None:
        """Return the record of an earlier request with the same key and digest; None for a new request.

        Raises:
            APIError: 409 if a different request used the key.
        """
        if key is None:
            return None
        with translate_store_errors():
            record = await self.store.aread(idempotency.find, owner, key)
        if record is not None and record.request != digest:
            raise invalid_state("another request used this Idempotency-Key; use a new key", "idempotency")
        return record

    async def _created_before(self, owner: str, key: str | None, digest: str) -> ConversationRecord | None:
        """Return the conversation that an earlier identical request created."""
        record = await self.find_repeated(owner, key, digest)
        return None if record is None else await self.load(owner, record.conversation)

    async def load(
        self, owner: str, id: str, *, version: int | None = None, replies: bool = True
    ) -> ConversationRecord:
        """Return a conversation with its turns; without `replies`, each `Turn.reply` is None.

        Raises:
            APIError: 404 for an unknown conversation; 409 if `version` is given and is not the newest; 503.
        """
        with translate_store_errors():
            conversation = await self.store.aread(conversations.load, owner, id, replies=replies)
        if version is not None and conversation.version != version:
            raise version_conflict()
        return conversation

    async def listing(
        self, owner: str, *, limit: int, before: str | None
    ) -> tuple[list[ConversationSummary], str | None]:
        """Return a page of conversations and the cursor of the next page; raise APIError 400 for an invalid cursor."""
        try:
            with translate_store_errors():
                return await self.store.aread(conversations.listing, owner, limit=limit, before=before)
        except ValueError as error:
            raise APIError(400, str(error), param="before", code="invalid_value") from None

    async def change(self, owner: str, id: str, change: ConversationChange) -> ConversationRecord:
        """Change a conversation's settings; raise APIError 400, 404, 409."""
        conversation = await self.load(owner, id, version=change.version)
        values = self._settings(change, change.model_fields_set - {"version"})
        await self._check(replace(conversation.about, **values), change.persona or (), ())
        if not values:
            return conversation
        changed = await self._write(conversation, ConversationUpdate(version=change.version, about=values))
        if changed.turns_version != conversation.turns_version:  # a turn was stored meanwhile
            return await self.load(owner, id)
        return changed

    async def delete(self, owner: str, id: str) -> None:
        """Delete a conversation, and wipe its text from the store's files; raise APIError 404 if it does not exist."""
        with translate_store_errors():
            await self.store.awrite(conversations.remove, owner, id)
            self.forget(id)
            await self.store.clean()

    async def delete_all(self, owner: str) -> None:
        """Delete all conversations of an owner, and wipe their text from the store's files."""
        with translate_store_errors():
            ids = await self.store.awrite(conversations.remove_all, owner)
            for id in ids:
                self.forget(id)
            if ids:
                await self.store.clean()

    async def undo(
        self, owner: str, id: str, *, version: int | None = None
    ) -> tuple[Sequence[Turn], ConversationRecord]:
        """Remove the last exchange, or only the user's turn if it has no reply yet. Stops a reply in progress.

        Returns:
            The removed turns, and the conversation without them.

        Raises:
            APIError: 404 for an unknown conversation; 409 if it has no turns, was changed concurrently, or if `version`
                is given and is not the newest; 503.
        """
        conversation = await self.load(owner, id, version=version)
        if not conversation.turns:
            raise invalid_state("the conversation has no turn to undo", "nothing_said")
        keep = len(conversation.turns) - (1 if conversation.waiting else 2)
        update = ConversationUpdate(turns_version=conversation.turns_version, keep=keep)
        changed = await self._write(conversation, update)
        self.forget(id)
        self.store.unclean = True
        return conversation.turns[keep:], changed

    async def choose(self, owner: str, id: str, position: int, *, version: int | None = None) -> ConversationRecord:
        """Replace the last reply by another of its candidates.

        Args:
            position: index of the candidate, from 1.
            version: required version of the conversation; None accepts any.

        Raises:
            APIError: 400 if the candidate does not exist or is empty; 404 for an unknown conversation; 409 if the last
                turn is not a generated reply, or the conversation was changed concurrently; 503.
        """
        conversation = await self.load(owner, id, version=version)
        last = conversation.turns[-1] if conversation.turns else None
        if last is None or last.reply is None or last.blocked:
            raise invalid_state("the last turn is not a generated reply and has no candidates", "no_reply")
        texts = [candidate["text"] for candidate in last.reply["candidates"]]
        message = None
        if position > len(texts):
            message = f"there is no candidate {position}; there are 1 to {len(texts)}"
        elif not texts[position - 1].strip():
            message = f"candidate {position} has no text; choose another"
        if message is not None:
            raise APIError(400, message, param="candidate", code="invalid_value")
        turn = replace(last, text=texts[position - 1], chosen=position - 1)
        update = ConversationUpdate(turns_version=conversation.turns_version, keep=last.number - 1, add=[turn])
        changed = await self._write(conversation, update)
        self.sessions.drop(id)
        return changed

    async def stop(self, owner: str, id: str) -> None:
        """Stop the reply in progress in a conversation; raise APIError 404, or 409 if no reply is in progress."""
        await self.load(owner, id, replies=False)
        if id not in self.running:
            raise invalid_state("no reply is in progress in this conversation", "nothing_running")
        self.running[id].cancel()

    def forget(self, id: str) -> None:
        """Drop the session of a conversation and stop its reply in progress, since the earlier turns have changed."""
        self.sessions.drop(id)
        job = self.running.pop(id, None)  # now, so that the next turn need not wait until the job has stopped
        if job is not None:
            job.cancel()

    def service_of(self, conversation: ConversationHeader) -> Service:
        """Return the service of a conversation's model; raise APIError 409 if the server does not have this model."""
        model = conversation.about.model
        if model is not None and model not in self.service.models:
            names = ", ".join(map(repr, self.service.models))
            raise invalid_state(
                f"the conversation's model is {model!r}, and this server has {names}; start it with this adapter, or "
                "change the model of the conversation",
                "no_model",
            )
        return self.service.named(model)

    async def _write(self, conversation: ConversationRecord, update: ConversationUpdate) -> ConversationRecord:
        """Apply changes to a stored conversation, and return the changed conversation; raise APIError 404, 409, 503."""
        try:
            with translate_store_errors():
                stored = await self.store.awrite(conversations.change, conversation.owner, conversation.id, update)
        except Conflict:
            raise version_conflict() from None
        return ConversationRecord(**vars(stored), turns=(*conversation.turns[: update.keep], *update.add))

    def _settings(self, body: NewConversation | ConversationChange, names: Iterable[str]) -> dict[str, Any]:
        """Return the named settings of a request body as they are stored; null persona becomes the server's persona."""
        values = {name: getattr(body, name) for name in names}
        if "options" in values:
            values["options"] = {} if body.options is None else body.options.given()
        if "persona" in values:
            values["persona"] = tuple(self.service.persona if body.persona is None else body.persona)
        if values.get("model") == self.service.model:  # the server's own model may be renamed at its next start
            values["model"] = None
        return values

    async def _check(self, about: ConversationSettings, persona: Sequence[str], turns: Sequence[str]) -> None:
        """Check the settings and texts of a conversation.

        Args:
            about: all settings, including the unchanged ones.
            persona: sentences of the request, checked by the policy as input; the server's own persona is not checked.
            turns: texts of turns, checked by the policy alternately as input and as output.

        Raises:
            APIError: 400 for values over a limit, invalid options, or a blocked text.
        """
        check_persona(self.service, about.persona)
        service = self.service.named(about.model)
        options = resolve_options(service, about.preset, about.options)
        if service.replies is not None:
            try:
                service.replies.responder.check_options(options)
            except ValueError as error:
                raise APIError(400, str(error), param="options", code="invalid_value") from None
        policy = self.service.policy
        if policy is None:
            return
        inputs = ((policy.check_input, persona, "persona"), (policy.check_input, turns[::2], "turns"))
        for check, texts, param in (*inputs, (policy.check_output, turns[1::2], "turns")):
            if texts and await asyncio.to_thread(check, texts) is not None:
                raise APIError(400, f"{param}: a text is not allowed here", param=param, code="blocked")
