"""Response selection models: they score candidates as the reply to a context."""
