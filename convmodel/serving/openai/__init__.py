"""OpenAI's chat completions API on a responder."""
