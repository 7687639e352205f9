"""Token ids of the replies of one conversation, kept for its next turns."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Session:
    """What a conversation remembers of its replies beside their texts; kept with it and dropped with it.

    A model's tokens can often write a text in several ways. A conversation whose replies are read again with the very
    tokens that wrote them stays in the model's cache exactly.

    Args:
        ids: the tokens of a reply, by its place in the context and its text.
    """

    ids: dict[tuple[int, str], tuple[int, ...]] = field(default_factory=dict)
