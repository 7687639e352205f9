"""Metrics of replies, rankings and likelihoods: counts that a `Metric` sums and divides once; nan without any."""
