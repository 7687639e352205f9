"""Routes that are compatible with Anthropic's messages API."""
