"""Lightning data modules for conversations, documents and response selection."""
