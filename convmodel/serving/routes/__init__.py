"""Routes of convmodel's own API, except stored conversations; and of Cohere's and Jina's rerank API."""
