"""Conversation files in, what is worth knowing before training on them out: in a terminal, as HTML, and mended."""
