"""Contexts in, replies out: generative, retrieval and hybrid responders."""
