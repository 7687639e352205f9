"""Near-duplicates by MinHash: texts with equal values in a band of their signatures are taken for similar.

Source: Broder 1997, "On the resemblance and containment of documents"; signatures and the division into bands are those
of the library datasketch.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

PERMUTATIONS = 128
"""Number of values of a signature."""

SHINGLE = 3
"""Number of successive words that are an element of a text's set."""

_WORD = re.compile(r"\w+")


def shingles(turns: Sequence[str]) -> set[bytes]:
    """Return the shingles of a conversation: its runs of `SHINGLE` lower-case words; one run if it has fewer words."""
    words = _WORD.findall("\n".join(turns).lower())
    last = max(1, len(words) - SHINGLE + 1)
    return {" ".join(words[start : start + SHINGLE]).encode() for start in range(last)}


def band_hashes(conversations: Iterable[Sequence[str]], similarity: float) -> Iterator[list[int]]:
    """Yield for each conversation a 64-bit hash of each band of its signature.

    Args:
        similarity: the Jaccard similarity from which on texts should share a band; datasketch chooses the number of
            bands and their width for it.
    """
    from datasketch import MinHash

    bands, width = _bands(similarity)
    empty = MinHash(num_perm=PERMUTATIONS, seed=1)
    for turns in conversations:
        signature = empty.copy()
        signature.update_batch(sorted(shingles(turns)))
        values: Any = signature.hashvalues
        yield [_hash(band, values[band * width : (band + 1) * width].tobytes()) for band in range(bands)]


@cache
def _bands(similarity: float) -> tuple[int, int]:
    """Return the number of bands and their width."""
    from datasketch import MinHashLSH

    index: Any = MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS)
    return index.b, index.r


def _hash(band: int, values: bytes) -> int:
    return int.from_bytes(blake2b(values, digest_size=8, salt=band.to_bytes(2, "big")).digest(), "big")
