"""Candidates encoded once in, the best of them for a context out: the index and its files."""
