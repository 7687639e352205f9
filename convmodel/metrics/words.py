"""Splitting of texts into words: `words` for most metrics, and `answer_words` for F1 as in question answering."""

from collections.abc import Hashable, Sequence
from itertools import islice
from typing import TypeVar

import regex

Token = TypeVar("Token", bound=Hashable)

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"

_WORD = regex.compile(
    rf"[{SPACELESS}--\p{{M}}]\p{{M}}*"
    rf"|[[\p{{L}}\p{{M}}\p{{N}}]--[{SPACELESS}]]+(?:['’][[\p{{L}}\p{{M}}\p{{N}}]--[{SPACELESS}]]+)*"
    r"|(?=\p{S})[\p{S}--[$+<=>^`|~]][\p{M}\u200d\p{S}]*",
    flags=regex.VERSION1,
)
_PUNCTUATION = regex.compile(r"[\p{P}$+<=>^`|~]", flags=regex.VERSION1)
_ARTICLES = regex.compile(r"\b(a|an|the)\b")
_SPACELESS = regex.compile(rf"([{SPACELESS}--\p{{M}}]\p{{M}}*)", flags=regex.VERSION1)


def words(text: str) -> list[str]:
    """Return the words of a text for lengths, n-grams and ROUGE-L; an empty list for a text of only punctuation.

    A word is one of: a lower-cased run of letters, marks and digits, with apostrophes inside it ("don't" is one word);
    a single character, with its marks, of a script without spaces; a run of other symbols (emoji).
    """
    return list(_WORD.findall(text.lower().replace("’", "'")))


def answer_words(text: str) -> list[str]:
    """Return the words of a text normalised as in SQuAD and ParlAI: lower case, without punctuation and a/an/the.

    Punctuation is deleted, including that outside ASCII: "don't" becomes "dont". In scripts without spaces each
    character is a word. For English text in ASCII the words equal those of SQuAD.

    Source: SQuAD v1.1, arXiv:1606.05250, section 6.1.
    """
    bare = _ARTICLES.sub(" ", _PUNCTUATION.sub("", text.lower()))
    return str(_SPACELESS.sub(r" \1 ", bare)).split()


def end_of_words(text: str, count: int) -> int | None:
    """Return the character index at which the first `count` words of a text end; None if it has fewer words."""
    if count == 0:
        return 0
    match = next(islice(_WORD.finditer(text.replace("’", "'")), count - 1, None), None)
    return None if match is None else int(match.end())


def ngrams(tokens: Sequence[Token], n: int) -> list[tuple[Token, ...]]:
    """Return the n-grams of a sequence, in order; an empty list if it is shorter than n."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def spaceless_share(texts: Sequence[str]) -> float:
    """Return the share of letters that belong to scripts without spaces; 0 if the texts have no letters."""
    letters = sum(character.isalpha() for text in texts for character in text)
    return sum(len(_SPACELESS.findall(text)) for text in texts) / letters if letters else 0.0
