"""Exact search among candidate vectors."""
