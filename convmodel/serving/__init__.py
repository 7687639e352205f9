"""Requests from anywhere in, replies of a Responder out: what stands between it and the world."""
