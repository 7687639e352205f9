"""What the bot itself says."""

from convmodel.serving.telegram.errors import Refused

HELLO = """\
Hello! Write to me, and a model replies. It is no person: do not rely on what it says.
/help lists what else I can do; /forget deletes everything that was said here."""

HINTS = """\
Several messages that arrive while I write are answered together. In a group I answer whoever mentions me or \
replies to me, and commands with my name behind them. //text says /text."""

UNREADABLE = "I can read text only."

LONGER = "This takes longer than usual. Your message is kept, and will be answered."

STOPPED = "Stopped. /retry makes a reply."

EMPTY = "The model had nothing to say. /retry makes another reply."

FAILED = "Something went wrong, and there is no reply. /retry asks for one again."

NOT_DONE = "Something went wrong; try again later."

UNSHOWN = "Telegram does not take what the model wrote. /retry makes another reply."

NOTHING_TO_REPLY_TO = "There is nothing to reply to; say something first."

NOTHING_TO_UNDO = "There is nothing to take back."

CHANGED_ELSEWHERE = "The conversation was changed elsewhere at that moment; nothing was taken back."

GONE = "The conversation is no longer on the server; the next message begins a new one."

FORGOTTEN = "Everything that was said here is deleted, on the server too, and so are persona and options."


def refused(error: Refused, *, fault: str = FAILED) -> str:
    """What a person is told of a request that was not followed; a fault of the server stays its own."""
    return fault if error.status >= 500 else str(error)
