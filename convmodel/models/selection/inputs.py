"""Validation and tokenization of contexts, personas and candidates."""

from collections.abc import Sequence
from typing import cast

from convmodel.data.conversation import check_turns
from convmodel.tokens.text_tokenizer import TextTokenizer

Contexts = Sequence[Sequence[str]]
"""B contexts, each the turns so far, oldest first."""

Candidates = Sequence[str] | Sequence[Sequence[str]]
"""C texts for all contexts, or C texts for each of B contexts."""

Personas = Sequence[Sequence[str]] | None
"""For each context, sentences about the speaker who replies; None if no context has any."""


def checked_contexts(contexts: Contexts, personas: Personas) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Check contexts and personas, and return the turns and the persona sentences of each context.

    Raises:
        TypeError, ValueError: for a text that is missing, empty or not a string.
    """
    if isinstance(contexts, str) or any(isinstance(context, str) for context in contexts):
        raise TypeError(f"contexts is {contexts!r:.60}; give a list of contexts, each a list of turns")
    if personas is not None and len(personas) != len(contexts):
        raise ValueError(f"{len(personas)} personas for {len(contexts)} contexts; give one each, or none")
    return [
        (check_turns(context), check_turns(persona, what="persona sentence"))
        for context, persona in zip(contexts, personas or [()] * len(contexts), strict=True)
    ]


def context_ids(
    tokenizer: TextTokenizer, contexts: Contexts, personas: Personas
) -> list[tuple[list[list[int]], list[list[int]]]]:
    """Return the token ids of the turns and of the persona sentences of each context.

    All texts are encoded by one call of the tokenizer.

    Raises:
        TypeError, ValueError: for a text that is missing, empty or not a string.
    """
    checked = checked_contexts(contexts, personas)
    ids = iter(tokenizer.encode_many([text for turns, sentences in checked for text in (*turns, *sentences)]))
    return [([next(ids) for _ in turns], [next(ids) for _ in sentences]) for turns, sentences in checked]


def checked_candidates(candidates: Sequence[str]) -> list[str]:
    """Return the candidates as a list.

    Raises:
        TypeError, ValueError: unless there is at least one, and all are non-empty strings.
    """
    texts = list(check_turns(candidates, what="candidate"))
    if not texts:
        raise ValueError("there are no candidates; give at least one")
    return texts


def checked_pools(contexts: Contexts, candidates: Candidates) -> list[list[str]]:
    """Return candidates as a list of pools: one pool for all contexts, or one for each context.

    Raises:
        TypeError, ValueError: for a candidate that is missing, empty or not a string, pools of different sizes, or
            another number of pools than of contexts.
    """
    if isinstance(candidates, str) or not len(candidates) or isinstance(candidates[0], str):
        return [checked_candidates(cast(Sequence[str], candidates))]
    pools = [checked_candidates(pool) for pool in candidates]
    if len(pools) != len(contexts) or len(set(map(len, pools))) > 1:
        raise ValueError(
            f"{len(pools)} pools of {sorted(set(map(len, pools)))} candidates for {len(contexts)} contexts; "
            "give one pool for each, all of one size, or one for all"
        )
    return pools
