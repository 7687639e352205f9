"""Exceptions of the store; callers handle each class differently."""


class StoreError(ValueError):
    """The store cannot be opened: its address, file, tables or database are not usable. Nothing was changed."""


class Unavailable(OSError):
    """The store cannot be read or written at present (disk full, locked, connection lost). Nothing was committed."""


class Missing(LookupError):
    """The conversation does not exist or belongs to another owner; callers cannot distinguish these cases."""


class Conflict(RuntimeError):
    """The conversation does not have the required version, because of a concurrent change."""


class KeyAlreadyUsed(ValueError):
    """The name of an API key, or an idempotency key, is already in use."""
