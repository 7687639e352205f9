"""A context and candidates in, scores out: models that choose a reply."""
