"""LRU cache of the responder's sessions, one per conversation."""

from collections import OrderedDict

from convmodel.responders.protocol import Session
from convmodel.serving.store.records import ConversationHeader


class Sessions:
    """Sessions of the most recently used conversations. Not thread-safe: use from one event loop."""

    def __init__(self, max_sessions: int = 1_000) -> None:
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[str, tuple[int, Session]] = OrderedDict()

    def of(self, stored: ConversationHeader) -> Session:
        """Return the session of a conversation, or a new session if the turns were changed by another server."""
        version, session = self._sessions.get(stored.id, (0, Session()))
        return session if version == stored.turns_version else Session()

    def keep(self, stored: ConversationHeader, session: Session) -> None:
        """Keep a session for the next reply; evict the least recently used sessions."""
        self._sessions[stored.id] = (stored.turns_version, session)
        self._sessions.move_to_end(stored.id)
        while len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)

    def drop(self, id: str) -> None:
        """Drop the session of a conversation, if present."""
        self._sessions.pop(id, None)
