"""Split conversations into training and validation files by a hash of their turns."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from convmodel.data.conversation import Conversation, encode_line
from convmodel.data.lines import open_atomic

VALID_SHARE = 0.1
"""Share of the conversations that go to the validation file."""

_HASH_SIZE = 2**32


def is_validation(conversation: Conversation, share: float = VALID_SHARE) -> bool:
    """Return whether a conversation belongs to the validation file.

    The decision depends on the turns alone. It stays the same when other conversations are added, and equal
    conversations are always on the same side.
    """
    digest = hashlib.blake2b("\x00".join(conversation.turns).encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) < share * _HASH_SIZE


def write_split(conversations: Iterable[Conversation], train: Path, valid: Path, *, share: float = VALID_SHARE) -> int:
    """Write training conversations to one file and validation conversations to another, as JSON Lines.

    Args:
        conversations: conversations of at least two turns; they are read once.
        train: the file for training. It is replaced only when it is complete, as the other one is.
        valid: the file for validation.
        share: expected share of the conversations that go to `valid`.

    Returns:
        The number of validation conversations.
    """
    count = 0
    with open_atomic(os.fspath(train)) as train_file, open_atomic(os.fspath(valid)) as valid_file:
        for number, conversation in enumerate(conversations, 1):
            line = encode_line(conversation, number)
            if is_validation(conversation, share):
                valid_file.write(line)
                count += 1
            else:
                train_file.write(line)
    return count
