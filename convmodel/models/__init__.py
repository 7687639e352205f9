"""Models: those that write, those that choose, their folders and cards."""
