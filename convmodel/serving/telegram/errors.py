"""Exceptions of the bot, one per reaction of the caller."""


class TokenRefused(ValueError):
    """The Bot API rejects the token; only another token helps."""


class ChatUnavailable(Exception):
    """The bot may not write to a chat because it was blocked or removed."""


class MessageRejected(Exception):
    """Telegram rejects this message; sending it again does not help."""


class ServerUnavailable(Exception):
    """The server cannot be reached or is overloaded; the request can be repeated later.

    Args:
        message: reason, for the log.
        seconds: delay from the Retry-After header; None if there was none.
        status: HTTP status; None without a response.
    """

    def __init__(self, message: str, *, seconds: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.status = status


class Refused(Exception):
    """The server rejects a request.

    Args:
        status: HTTP status; 500 and above for an error of the server.
        message: message for the user.
        code: error code of the server's API.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
