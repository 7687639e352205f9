"""MinHash signatures against exact similarities, and samples of bounded size."""

import random
from itertools import combinations

import numpy as np

from convmodel.reports.inspection.minhash import SampledRows, Signatures, similarity
from tests.reports.inspection.helpers import families, jaccard, pairs_of


def test_estimates_are_close_to_the_jaccard_similarity() -> None:
    conversations = families(random.Random(2), 25)
    signatures, _ = Signatures()(conversations)
    pairs = list(combinations(range(len(conversations)), 2))
    true = np.array([jaccard(pairs_of(conversations[a]), pairs_of(conversations[b])) for a, b in pairs])
    estimated = similarity(signatures[[a for a, _ in pairs]], signatures[[b for _, b in pairs]])
    assert np.abs(true - estimated).max() < 0.3
    assert np.sqrt(((true - estimated) ** 2).mean()) < 0.07


def test_a_table_keeps_a_sample_by_key_of_bounded_size() -> None:
    table = SampledRows(100)
    keys = np.random.default_rng(0).integers(0, 2**32, 5000)
    for start in range(0, 5000, 250):
        part = keys[start : start + 250]
        table.add(part, twice=part * 2)
    columns = table.columns()
    assert table.one_in == 64 and 40 < len(columns["keys"]) <= 100
    assert columns["keys"].tolist() == [key for key in keys.tolist() if key % 64 == 0]
    assert (columns["twice"] == columns["keys"] * 2).all()
