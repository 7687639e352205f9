"""Generation of token ids: engine, sampler, key-value cache and int8 layers."""
