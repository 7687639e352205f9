"""Conversations in, token ids, windows and batches out."""
