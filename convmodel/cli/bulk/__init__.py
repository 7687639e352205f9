"""Batch jobs: write replies to a file of conversations, or texts for a file of prompts. Killed jobs can be resumed."""
