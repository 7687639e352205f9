"""Limits and switches of a server, and the names under which it may be used."""

from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of the local machine."""


@dataclass(frozen=True)
class Settings:
    """Limits and switches of a server.

    Args:
        body_bytes: maximum size of a request body.
        head_seconds: time in which the head of a request must arrive.
        body_seconds: time in which a request body must arrive.
        connections: maximum number of open connections.
        turns: maximum number of turns in a context.
        turn_chars: maximum number of characters in a turn or a prompt.
        texts: maximum number of texts to embed or to rank per request.
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
        strict: whether fields that change nothing are refused, instead of ignored, in the APIs of others.
        log_texts: whether texts of conversations may be logged.
    """

    body_bytes: int = 1_048_576
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    connections: int = 900
    turns: int = 1_000
    turn_chars: int = 20_000
    texts: int = 2_048
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
    strict: bool = False
    log_texts: bool = False

    @property
    def max_open(self) -> int:
        """The maximum number of open replies."""
        return self.max_running + self.max_waiting


def parse_host(name: str) -> str:
    """Return the host of a name as a Host header has it: in lower case, without scheme and port.

    Raises:
        ValueError: for a text without a host.
    """
    text = name.strip()
    bare = text.startswith("[") or text.count(":") <= 1
    try:
        host = urlsplit(text if "://" in text else f"//{text if bare else f'[{text}]'}").hostname
    except ValueError:
        host = None
    if not host or any(character in host for character in "*?#@ ,"):
        raise ValueError(f"--allowed_host {name!r}: it is not a host name; give one such as box.example.org")
    return host


DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origin(origin: str) -> str:
    """Return an origin as browsers send it: scheme, host and port, without a slash at its end.

    Raises:
        ValueError: for a text without a scheme, or with a path.
    """
    text = origin.strip().lower()
    if text in ("*", "null"):
        return text
    example = "give scheme, host and port, such as https://example.org:8443"
    try:
        parts = urlsplit(text)
        host = parts.hostname
        port = parts.port
    except ValueError:
        raise ValueError(f"--cors {origin!r}: it is not an origin; {example}") from None
    if not parts.scheme or not host or "://" not in text:
        raise ValueError(f"--cors {origin!r}: an origin begins with a scheme; {example}")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or "*" in host:
        raise ValueError(f"--cors {origin!r}: it is more than an origin, or a pattern; {example}, or * for all")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{port}")
