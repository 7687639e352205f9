"""Limits and switches of a server."""

from dataclasses import dataclass

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of the local machine."""


@dataclass(frozen=True)
class Settings:
    """Limits and switches of a server.

    Args:
        body_bytes: maximum size of a request body.
        body_seconds: time in which a request body must arrive.
        turns: maximum number of turns in a context.
        turn_chars: maximum number of characters in a turn or a prompt.
        persona_chars: maximum number of characters in a persona, all sentences together.
        n: maximum number of replies or texts per request.
        k: maximum number of candidates per search.
        new_tokens: maximum number of tokens in a reply.
        max_running: replies that are generated at once.
        max_waiting: further replies that may wait.
        open_per_key: maximum number of open replies per API key; None means no limit of its own.
        open_per_user: maximum number of open replies per end user of an API key; None means no limit of its own.
        requests_per_minute: maximum number of requests per API key; None means no limit.
        deadline: seconds in which a reply must be complete.
        grace: seconds that running replies have to end when the server shuts down.
        keep_alive: seconds of silence after which a stream sends a comment; 0 sends none.
        pause: seconds in which the pieces of a stream are collected; 0 sends each piece by itself.
        beams: whether beam search is allowed, which delays all other replies.
        hosts: host names that requests may use, against DNS rebinding; empty allows any.
        origins: origins of other sites' pages that may use the server; "*" allows all.
        log_texts: whether texts of conversations may be logged.
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
        """The maximum number of open replies."""
        return self.max_running + self.max_waiting
