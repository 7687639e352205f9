"""Metrics of replies, rankings and likelihoods: texts and scores enter, numbers leave; one module per family.

Each family has pure functions that return the counts of one reply or of a set of replies. A `Metric` sums such counts
and divides once. Without anything to measure, every metric is nan.
"""
