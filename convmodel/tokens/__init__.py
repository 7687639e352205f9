"""Tokenizers, layouts, token stores and batches: conversations enter, padded batches of token ids leave."""
