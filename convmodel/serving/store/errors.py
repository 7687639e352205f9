"""Exceptions of the store, one per reaction of the caller."""


class StoreError(ValueError):
    """The address does not lead to a usable store. Nothing was changed."""


class Unavailable(OSError):
    """The store cannot be read or written at present (disk full, locked, connection lost). Nothing was committed."""


class Missing(LookupError):
    """The item does not exist, or belongs to another owner; the caller cannot tell these cases apart."""


class Conflict(RuntimeError):
    """The item was changed concurrently."""


class KeyAlreadyUsed(ValueError):
    """The name, or the idempotency key, is already in use."""
