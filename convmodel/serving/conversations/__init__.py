"""Conversations stored on the server: turns, settings, and generation of replies."""
