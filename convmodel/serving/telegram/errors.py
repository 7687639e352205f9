"""What can go wrong between Telegram, the bot and the server, by what is to be done about it."""


class TokenRefused(ValueError):
    """The Bot API does not know the token; nothing can be done but to give another one."""


class ChatUnavailable(Exception):
    """The bot may not write to a chat: it was blocked, or removed."""


class MessageRejected(Exception):
    """Telegram does not take this message, however often it is sent."""


class ServerUnavailable(Exception):
    """The server cannot be reached, or has too much to do: ask again later.

    Args:
        seconds: after which, where it said so.
        status: of HTTP, where it said one.
    """

    def __init__(self, message: str, *, seconds: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.seconds, self.status = seconds, status


class Refused(Exception):
    """The server does not do what it was asked.

    Args:
        status: of HTTP; 500 and above when the fault is not in what was asked.
        message: for a person.
        code: names the case.
    """

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
