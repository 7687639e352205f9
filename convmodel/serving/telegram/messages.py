"""Texts of the bot's own messages."""

from convmodel.serving.telegram.errors import Refused

HELLO = """\
Hello! Write to me, and a model replies. It is not a person: do not rely on what it says.
/help lists what else I can do; /forget deletes everything that was said here."""

HINTS = """\
Several messages that arrive while I write are answered together. In a group I answer messages that mention me or \
reply to me, and commands with my name after them. //text sends /text."""

UNREADABLE = "I can read text only."

LONGER = "This takes longer than usual. Your message is kept, and will be answered."

STOPPED = "Stopped. /retry makes a reply."

EMPTY = "The model's reply is empty. /retry makes another reply."

FAILED = "Something went wrong, and there is no reply. /retry asks for one again."

NOT_DONE = "Something went wrong; try again later."

UNSHOWN = "Telegram does not accept the model's reply. /retry makes another reply."

NOTHING_TO_REPLY_TO = "There is nothing to reply to; say something first."

NOTHING_TO_UNDO = "There is nothing to take back."

CHANGED_ELSEWHERE = "The conversation was changed elsewhere at that moment; nothing was taken back."

GONE = "The conversation is no longer on the server; the next message begins a new one."

FORGOTTEN = "Everything that was said here is deleted, on the server too, and so are persona and options."


def refused(error: Refused, *, fault: str = FAILED) -> str:
    """Return the message for a request that the server rejected; details of server errors are not shown."""
    return fault if error.status >= 500 else str(error)
