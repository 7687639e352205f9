"""LRU cache of the responder's sessions: the computed state of a conversation, reused for its next reply."""

from collections import OrderedDict

from convmodel.responders.protocol import Session
from convmodel.serving.store.records import ConversationHeader

State = tuple[int, str | None]
"""The version of the turns and the name of the model for which a session was computed."""


class Sessions:
    """Sessions of the most recently used conversations, at most one each. Not thread-safe: use from one event loop."""

    def __init__(self, max_sessions: int = 1_000) -> None:
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[str, tuple[State, Session]] = OrderedDict()

    def of(self, stored: ConversationHeader) -> Session:
        """Return the session of a conversation.

        The session is new if none is cached, or if the turns or the model have changed since it was cached, for example
        by another server.
        """
        state, session = self._sessions.get(stored.id, (None, Session()))
        return session if state == _state(stored) else Session()

    def keep(self, stored: ConversationHeader, session: Session) -> None:
        """Keep a session for the conversation's next reply; evict the least recently used if the cache is full."""
        self._sessions[stored.id] = (_state(stored), session)
        self._sessions.move_to_end(stored.id)
        while len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)

    def drop(self, id: str) -> None:
        """Drop the session of a conversation, if present."""
        self._sessions.pop(id, None)


def _state(stored: ConversationHeader) -> State:
    return stored.turns_version, stored.about.model
