"""OpenAI's chat completions in, requests to a Responder out, and back."""
