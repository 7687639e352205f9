"""What a server allows, decided once: every limit and switch."""

from dataclasses import dataclass

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""The names under which a machine knows itself."""


@dataclass(frozen=True)
class Settings:
    """Limits and switches of a server.

    Args:
        body_bytes: of a request's body at most.
        body_seconds: in which a body must have come.
        turns: of a context at most.
        turn_chars: characters of one turn, or of a prompt, at most.
        persona_chars: characters of a persona at most, all sentences together.
        n: replies, or texts, that one request asks for at most.
        k: candidates that one search gives at most.
        new_tokens: that a reply is written in at most.
        max_running: replies that are written at once.
        max_waiting: replies that may be open beside those.
        open_per_key: replies of one key that may be open at once; None is as many as there are places.
        open_per_user: the same for each user that a key tells apart.
        requests_per_minute: of one key; None is as many as come.
        deadline: seconds in which a reply must be over.
        grace: seconds that what is being said has to end when the server ends.
        keep_alive: seconds of silence after which a stream says that it is still there; 0 is never.
        pause: seconds in which pieces of a stream are gathered; 0 sends each by itself.
        beams: whether beam search is allowed, which holds everybody else up.
        hosts: names that a request may call the server by; empty is any. Against pages whose name leads here.
        origins: of pages elsewhere that may use the server; "*" is all.
        log_texts: whether what is said may stand in the log.
    """

    body_bytes: int = 1_048_576
    body_seconds: float = 30.0
    turns: int = 1_000
    turn_chars: int = 20_000
    persona_chars: int = 10_000
    n: int = 8
    k: int = 100
    new_tokens: int = 512
    max_running: int = 32
    max_waiting: int = 256
    open_per_key: int | None = None
    open_per_user: int | None = None
    requests_per_minute: int | None = None
    deadline: float = 120.0
    grace: float = 10.0
    keep_alive: float = 15.0
    pause: float = 0.01
    beams: bool = False
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    log_texts: bool = False

    @property
    def max_open(self) -> int:
        """Replies that may be open at once."""
        return self.max_running + self.max_waiting
