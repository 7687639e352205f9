"""Limits and switches of a server, and the host names and origins of requests that it accepts."""

from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Host names and addresses of the local machine."""


@dataclass(frozen=True)
class Settings:
    """Limits and switches of a server.

    Args:
        body_bytes: maximum size of a request body.
        head_seconds: seconds in which the head of a request must arrive.
        body_seconds: seconds in which a request body must arrive.
        connections: maximum number of open connections.
        turns: maximum number of turns in a context.
        turn_chars: maximum number of characters in a turn or a prompt.
        texts: maximum number of texts to embed or to rank per request.
        persona_chars: maximum number of characters in a persona, in total over its sentences.
        n: maximum number of replies or texts per request.
        k: maximum number of candidates per search.
        new_tokens: maximum number of tokens in a reply.
        max_running: number of replies that the model generates at once.
        max_waiting: maximum number of further replies that wait.
        open_per_key: maximum number of running and waiting replies per API key; None means no limit per key.
        open_per_user: maximum number of running and waiting replies per end user; None means no limit per user.
        requests_per_minute: maximum number of requests per API key; None means no limit.
        deadline: seconds in which a reply must be complete, including the time that it waits.
        grace: seconds after which replies that are still open are cancelled when the server shuts down.
        keep_alive: seconds without an event after which a stream sends a comment; 0 sends no comments.
        pause: seconds for which the pieces of a stream are collected and then sent together; 0 sends each piece alone.
        beams: whether beam search is allowed; it delays all other replies.
        hosts: names that requests may have in Host, as a protection against DNS rebinding; empty allows all names.
        origins: origins of other sites whose pages may use the server (CORS); "*" allows all.
        strict: whether fields without effect are rejected instead of ignored in the APIs of OpenAI and others.
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
        """The maximum number of running and waiting replies."""
        return self.max_running + self.max_waiting


def parse_host(name: str) -> str:
    """Normalize a host name: lower case, without scheme and port.

    Raises:
        ValueError: for a text that contains no host name.
    """
    text = name.strip()
    bare = text.startswith("[") or text.count(":") <= 1
    try:
        host = urlsplit(text if "://" in text else f"//{text if bare else f'[{text}]'}").hostname
    except ValueError:
        host = None
    if not host or any(character in host for character in "*?#@ ,"):
        raise ValueError(f"--allowed-host {name!r}: it is not a host name; give one such as box.example.org")
    return host


DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origin(origin: str) -> str:
    """Normalize an origin to the form that browsers send: scheme, host, and port unless it is the default port.

    "*" and "null" are returned unchanged.

    Raises:
        ValueError: for a text without a scheme, with more parts than an origin, or with a pattern.
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
