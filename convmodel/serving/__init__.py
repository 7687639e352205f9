"""Requests of many people over HTTP in, a Responder's replies out."""
