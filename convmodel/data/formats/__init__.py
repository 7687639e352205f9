"""File formats of conversations and documents, one module each."""
