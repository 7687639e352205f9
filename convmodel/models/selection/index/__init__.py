"""The on-disk index of encoded candidates: building, searching, and its files."""
