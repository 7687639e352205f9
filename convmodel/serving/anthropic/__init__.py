"""Anthropic's API: messages, for Anthropic's clients."""
