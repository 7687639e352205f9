"""Lightning data modules: one for conversations, one for documents, one for response selection."""
