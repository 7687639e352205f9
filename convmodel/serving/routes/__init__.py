"""Routes of convmodel's own API, beside those of conversations."""
