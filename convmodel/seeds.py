"""Numbers in, a seed out: the same on every machine, and unrelated for near numbers."""

import hashlib


def mixed(*parts: int | str) -> int:
    """A seed from 0 to 2^63 - 1 that depends on each of its parts and on their order."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1
