"""Evaluation of models and inspection of data, as terminal output, JSON and HTML."""
