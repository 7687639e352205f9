"""Texts and log-likelihoods in, numbers out: one small file for each family of metrics.

A family has pure functions that count what a reply, or a set of replies, comes to. A `Metric` sums such counts and
divides once. Where there is nothing to measure the answer is nan, everywhere.
"""
