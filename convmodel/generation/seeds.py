"""Derive random seeds from several values, the same on every machine."""

import hashlib

SEEDS = 2**63
"""Number of seeds: they are from 0 to `SEEDS - 1`."""


def derive_seed(*parts: int | str) -> int:
    """Return a seed derived from several values; similar values give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1
