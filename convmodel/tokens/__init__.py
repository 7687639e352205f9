"""Tokenizers, layouts, token stores and batches: conversations become padded batches of token ids."""
