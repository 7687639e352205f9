"""A conversation in, a line of a conversation file out, and back."""

from itertools import chain, islice
from pathlib import Path

from convmodel.data.conversation import Conversation, ConversationReader, write_conversations


def save(conversation: Conversation, name: str, *, replace: bool = False, add: bool = False) -> str:
    """Writes a conversation to a file that trains: JSON Lines.

    Args:
        name: of the file; `~` is the home folder. Gzipped when it ends in .gz.
        replace: whether a file that is there is replaced.
        add: whether the conversation is added to the file that is there.

    Returns:
        What was done, for a person.

    Raises:
        ValueError, OSError: when a file is there already, is no JSON Lines file to add to, or cannot be written.
    """
    path = Path(name).expanduser()
    there = path.exists()
    if there and not (replace or add):
        raise ValueError(f"{name}: is there already; /save ! {name} replaces it, /save + {name} adds to it")
    if there and add:
        reader = ConversationReader(path)
        if reader.format != "jsonl":
            raise ValueError(f"{name}: is {reader.format}, and only JSON Lines can be added to; give another name")
        written = write_conversations(chain(reader, [conversation]), path)
        return f"{name}: conversation {written:,} of the file, {len(conversation.turns)} turns"
    write_conversations([conversation], path)
    return f"{name}: written, {len(conversation.turns)} turns"


def load(name: str, number: int | None = None) -> Conversation:
    """Reads one conversation of a file of any format; one that has only one turn, too.

    Args:
        name: of the file; `~` is the home folder.
        number: which one, counted from 1; may be left out when there is only one.

    Raises:
        ValueError, OSError: when there is no such file or conversation, or several and no number.
    """
    if number is not None and number < 1:
        raise ValueError(f"conversation {number}: they are counted from 1")
    path = name if name.startswith("hub://") else Path(name).expanduser()
    first = (number or 1) - 1
    found = list(islice(ConversationReader(path, min_turns=1), first, first + 2))
    if not found:
        raise ValueError(f"{name}: there is no conversation {number}; it has fewer")
    if number is None and len(found) > 1:
        raise ValueError(
            f"{name}: there are several conversations in it; say which, such as /load {name} 1 (or --load {name}:1)"
        )
    return found[0]
