"""Routes that are compatible with OpenAI's API: chat completions, completions, embeddings and models."""
