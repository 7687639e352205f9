"""Inspection of conversation files before training: statistics, findings, a report, and corrected copies."""
