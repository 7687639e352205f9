"""ConveRT: network, tokenizer, and inference without padding."""
