"""What a person types at a terminal in, what a Responder replies out; knows nothing of models."""
