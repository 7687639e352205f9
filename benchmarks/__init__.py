"""Ours and its peers in, their ratios out: what is claimed about speed, measured in one run."""
