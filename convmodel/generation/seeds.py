"""Numbers in, one seed out, the same on every machine."""

import hashlib

SEEDS = 2**63
"""Seeds are from 0 to one less."""


def derive_seed(*parts: int | str) -> int:
    """A seed from several parts; near numbers give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1
