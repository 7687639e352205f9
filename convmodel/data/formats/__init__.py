"""File formats of conversations and documents."""
