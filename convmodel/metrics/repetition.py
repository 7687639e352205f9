"""Repetition of tokens and n-grams, within a text and from its context."""

from collections.abc import Sequence

from convmodel.metrics.words import Token, ngrams, words


def count_repeats(tokens: Sequence[Token], n: int) -> tuple[int, int]:
    """Return the number of n-grams of a text that occur earlier in it, and the number of all its n-grams.

    The mean ratio of the two over continuations is seq-rep-n. Source: arXiv:1908.04319, section 6.
    """
    text_ngrams = ngrams(tokens, n)
    return len(text_ngrams) - len(set(text_ngrams)), len(text_ngrams)


def in_last_n(tokens: Sequence[int], before: Sequence[int], window: int) -> list[bool]:
    """Return, for each token t, whether it is among the last `window` tokens of `before[:t]`.

    If `tokens` are a model's most probable next tokens and `before` is the text, the share of true values is rep/l,
    where l is the window.

    Source: arXiv:1908.04319, section 6.
    """
    last_positions: dict[int, int] = {}
    repeated = []
    for position, token in enumerate(tokens):
        repeated.append(position - last_positions.get(token, -window - 1) <= window)
        if position < len(before):
            last_positions[before[position]] = position
    return repeated


def count_repeats_within(reply: str, n: int) -> tuple[int, int]:
    """Return the counts of `count_repeats` for the words of a reply.

    Unlike in seq-rep-n, the counts are summed over replies before the division.
    """
    return count_repeats(words(reply), n)


def count_repeats_from(context: Sequence[str], reply: str, n: int) -> tuple[int, int]:
    """Return the number of n-grams of a reply that occur in a turn of its context, and the number of all its n-grams.

    Source: after the external repetition of arXiv:1902.08654, section 5.2.
    """
    context_ngrams = {ngram for turn in context for ngram in ngrams(words(turn), n)}
    reply_ngrams = ngrams(words(reply), n)
    return sum(ngram in context_ngrams for ngram in reply_ngrams), len(reply_ngrams)
