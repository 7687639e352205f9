"""Keep the token ids of one conversation's replies for its next turns."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Session:
    """Token ids of the replies that a model generated in one conversation.

    A text can often be encoded by several token sequences. If earlier replies are read as the tokens that the
    model generated, they match its key-value cache exactly.
    """

    ids: dict[tuple[int, str], tuple[int, ...]] = field(default_factory=dict)
    """Token ids of each reply, by its position in the context and its text."""
