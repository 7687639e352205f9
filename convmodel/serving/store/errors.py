"""What can go wrong with a store, by what is to be done about it."""


class StoreError(ValueError):
    """There is no usable store at the address that was given; nothing was changed."""


class Unavailable(OSError):
    """The store cannot be read or written now: a full disk, a lock, a lost connection. Nothing was acknowledged."""


class Missing(LookupError):
    """There is nothing of that name, or it is somebody else's: who asks cannot tell which."""


class Conflict(RuntimeError):
    """Somebody else changed it first."""


class KeyAlreadyUsed(ValueError):
    """A name or a key of idempotency that is already in use."""
