"""Token ids in, token ids out: the engine, the sampler, the KV cache and 8-bit products."""
