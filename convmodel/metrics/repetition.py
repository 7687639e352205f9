"""A text and what was there before in, how much of the text had been there already out."""

from collections.abc import Sequence

from convmodel.metrics.words import Token, ngrams, words


def repeated(tokens: Sequence[Token], n: int) -> tuple[int, int]:
    """How many n-grams of a text came earlier in it, and how many it has.

    Divided for each continuation and then averaged this is seq-rep-n, 1 - unique / all n-grams.

    Source: arXiv:1908.04319, section 6.
    """
    found = ngrams(tokens, n)
    return len(found) - len(set(found)), len(found)


def in_last_n(said: Sequence[int], before: Sequence[int], window: int) -> list[bool]:
    """For each token whether it stands among those just before it.

    Counted over a model's likeliest next tokens this is rep/l, with l the window.

    Source: arXiv:1908.04319, section 6.

    Args:
        said: T tokens, the number t of which was said after the first t of `before`.
        before: T or T - 1 tokens.
        window: how many of the last tokens before it are looked at.
    """
    last: dict[int, int] = {}
    found = []
    for place, token in enumerate(said):
        found.append(place - last.get(token, -window - 1) <= window)
        if place < len(before):
            last[before[place]] = place
    return found


def repeated_within(reply: str, n: int) -> tuple[int, int]:
    """How many n-grams of a reply came earlier in the same reply, and how many it has.

    Source: arXiv:1908.04319, section 6 (seq-rep-n is 1 - unique / all n-grams); here all replies' n-grams are summed
    before the one division.
    """
    return repeated(words(reply), n)


def repeated_from(context: Sequence[str], reply: str, n: int) -> tuple[int, int]:
    """How many n-grams of a reply stand in a turn of its context, whoever said it, and how many it has.

    Source: after the external repetition of arXiv:1902.08654, section 5.2.
    """
    before = {gram for turn in context for gram in ngrams(words(turn), n)}
    found = ngrams(words(reply), n)
    return sum(gram in before for gram in found), len(found)
