"""Saving a chat to a conversation file, and loading one from it."""

from itertools import chain, islice
from pathlib import Path

from convmodel.data.conversation import Conversation, ConversationReader, ReadOptions, write_conversations


def save(conversation: Conversation, name: str, *, replace: bool = False, add: bool = False) -> str:
    """Write a conversation to a JSON Lines file for training; return a message for the user.

    Args:
        name: name of the file; `~` is the home folder. A name that ends in .gz is gzipped.
        replace, add: whether to replace an existing file, or to append to it.

    Raises:
        ValueError, OSError: for a file that exists already, is not JSON Lines and cannot be added to, or cannot be
            written.
    """
    path = Path(name).expanduser()
    if path.exists() and not (replace or add):
        raise ValueError(f"{name}: exists already; /save ! {name} replaces it, /save + {name} adds to it")
    if path.exists() and add:
        reader = ConversationReader(path, named=True)
        if reader.format != "jsonl":
            raise ValueError(f"{name}: is {reader.format}, and only JSON Lines can be added to; give another name")
        written = write_conversations(chain(reader, [conversation]), path)
        return f"{name}: conversation {written:,} of the file, {len(conversation.turns)} turns"
    write_conversations([conversation], path)
    return f"{name}: written, {len(conversation.turns)} turns"


def load(name: str, number: int | None = None, options: ReadOptions | None = None) -> Conversation:
    """Read one conversation from a file of any format, with names if it has them; it may have a single turn.

    Args:
        name: name of the file; `~` is the home folder.
        number: number of the conversation, from 1; may be omitted if the file has only one.

    Raises:
        ValueError, OSError: for a missing file or conversation, or a missing number with several conversations.
    """
    if number is not None and number < 1:
        raise ValueError(f"conversation {number}: conversations are counted from 1")
    path = name if name.startswith("hub://") else Path(name).expanduser()
    first = (number or 1) - 1
    conversations = list(islice(ConversationReader(path, options, min_turns=1, named=True), first, first + 2))
    if not conversations:
        raise ValueError(f"{name}: there is no conversation {number}; it has fewer")
    if number is None and len(conversations) > 1:
        raise ValueError(
            f"{name}: it has several conversations; give a number, such as /load {name} 1 (or --load {name}:1)"
        )
    return conversations[0]
