"""A conversation and its version in, what the responder remembers of it out."""

from collections import OrderedDict

from convmodel.responders.protocol import Session
from convmodel.serving.store import ConversationHeader


class Sessions:
    """The sessions of the conversations that were used last; belongs to one event loop.

    Args:
        most: so many are kept.
    """

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[int, Session]] = OrderedDict()

    def of(self, stored: ConversationHeader) -> Session:
        """The session of a conversation; a new one when somebody else changed its turns."""
        version, session = self._kept.get(stored.id, (0, Session()))
        return session if version == stored.turns_version else Session()

    def keep(self, stored: ConversationHeader, session: Session) -> None:
        """Keeps a session for the next reply."""
        self._kept[stored.id] = (stored.turns_version, session)
        self._kept.move_to_end(stored.id)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, id: str) -> None:
        """Forgets a session; one that is not there is no error."""
        self._kept.pop(id, None)
