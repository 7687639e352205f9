"""Metrics of replies, rankings and likelihoods: a `Metric` sums counts, then divides once."""
