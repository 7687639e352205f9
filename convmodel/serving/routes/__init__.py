"""Routes of the HTTP API, one module each."""
